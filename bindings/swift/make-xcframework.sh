#!/bin/sh
# NOT TRIED: written without one of Apple's systems at hand.
#
# Builds KithNative.xcframework (the library for macOS, iOS and iOS's simulator, static) into a package that
# `cargo xtask swift` has put together. On a Mac with Xcode and the Rust targets below:
#
#   cargo xtask swift
#   bindings/swift/make-xcframework.sh PACKAGE
set -eu

if [ $# -ne 1 ] || [ ! -f "$1/Package.swift" ]; then
    echo "usage: make-xcframework.sh PACKAGE" >&2
    exit 2
fi
package=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
headers=$package/Sources/kith_nativeFFI

library() {
    echo "$target/$1/dist/libkith_uniffi.a"
}

for system in aarch64-apple-darwin x86_64-apple-darwin aarch64-apple-ios aarch64-apple-ios-sim; do
    rustup target add "$system"
    cargo rustc --locked --profile dist --package kith-uniffi --lib --no-default-features --target "$system" --crate-type staticlib
done
mkdir -p "$target/macos-universal"
lipo -create "$(library aarch64-apple-darwin)" "$(library x86_64-apple-darwin)" -output "$target/macos-universal/libkith_uniffi.a"

rm -rf "$package/KithNative.xcframework"
xcodebuild -create-xcframework \
    -library "$target/macos-universal/libkith_uniffi.a" -headers "$headers" \
    -library "$(library aarch64-apple-ios)" -headers "$headers" \
    -library "$(library aarch64-apple-ios-sim)" -headers "$headers" \
    -output "$package/KithNative.xcframework"
echo "$package/KithNative.xcframework"
