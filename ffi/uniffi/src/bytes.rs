//! Bytes that cross in one copy.

use uniffi::deps::bytes::{Buf, BufMut};
use uniffi::{FfiConverter, MetadataBuffer, RustBuffer, TypeId};

use crate::UniFfiTag;

/// The same as `Vec<u8>` on the other side (`bytes`, `ByteArray`, `Data`), but copied as a whole, where UniFFI's own
/// conversion of a vector goes item by item: 1 MiB takes a fraction of a millisecond and not several.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// No value of ours comes near this; bytes that long come to the other side empty.
const LONGEST: usize = i32::MAX as usize;

// SAFETY: the type id is that of `Vec<u8>`, and the serialised form is that of `Vec<u8>` (a signed 32-bit length, then
// the items); lifting checks the length against what is there.
unsafe impl FfiConverter<UniFfiTag> for Bytes {
    type FfiType = RustBuffer;

    const TYPE_ID_META: MetadataBuffer = <Vec<u8> as TypeId<UniFfiTag>>::TYPE_ID_META;

    fn lower(bytes: Self) -> RustBuffer {
        let mut buffer = Vec::with_capacity(4 + bytes.0.len());
        Self::write(bytes, &mut buffer);
        RustBuffer::from_vec(buffer)
    }

    fn try_lift(buffer: RustBuffer) -> uniffi::Result<Self> {
        let mut buffer = buffer.destroy_into_vec();
        let bytes = Self::try_read(&mut buffer.as_slice())?;
        if buffer.len() != 4 + bytes.0.len() {
            uniffi::deps::anyhow::bail!("bytes with {} more behind them", buffer.len() - 4 - bytes.0.len());
        }
        buffer.clear();
        Ok(bytes)
    }

    fn write(bytes: Self, buffer: &mut Vec<u8>) {
        let bytes = if bytes.0.len() > LONGEST { &[] } else { bytes.0.as_slice() };
        buffer.reserve(4 + bytes.len());
        buffer.put_i32(i32::try_from(bytes.len()).unwrap_or(0));
        buffer.extend_from_slice(bytes);
    }

    fn try_read(buffer: &mut &[u8]) -> uniffi::Result<Self> {
        uniffi::check_remaining(buffer, 4)?;
        let length = usize::try_from(buffer.get_i32())?;
        uniffi::check_remaining(buffer, length)?;
        let (bytes, rest) = buffer.split_at(length);
        *buffer = rest;
        Ok(Self(bytes.to_vec()))
    }
}

uniffi::derive_ffi_traits!(local Bytes);

#[cfg(test)]
mod tests {
    use super::*;
    use uniffi::{Lift, Lower};

    type Plain = Vec<u8>;

    #[test]
    fn what_is_written_is_what_uniffi_writes_for_a_vector() {
        for bytes in [vec![], vec![7], (0..=255).collect::<Vec<u8>>()] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            <Bytes as Lower<UniFfiTag>>::write(Bytes(bytes.clone()), &mut ours);
            <Plain as Lower<UniFfiTag>>::write(bytes.clone(), &mut theirs);
            assert_eq!(ours, theirs);
            let lifted = <Bytes as Lift<UniFfiTag>>::try_lift(RustBuffer::from_vec(theirs)).unwrap();
            assert_eq!(lifted.0, bytes);
        }
    }

    #[test]
    fn a_mebibyte_is_copied_as_a_whole() {
        let bytes = vec![7_u8; 1 << 20];
        let fastest = |write: &dyn Fn(Vec<u8>) -> Vec<u8>| {
            let once = |_| {
                let bytes = bytes.clone();
                let begun = std::time::Instant::now();
                assert_eq!(write(bytes).len(), 4 + (1 << 20));
                begun.elapsed()
            };
            (0..5).map(once).min().unwrap()
        };
        let ours = fastest(&|bytes| {
            let mut buffer = Vec::new();
            <Bytes as Lower<UniFfiTag>>::write(Bytes(bytes), &mut buffer);
            buffer
        });
        let theirs = fastest(&|bytes| {
            let mut buffer = Vec::new();
            <Plain as Lower<UniFfiTag>>::write(bytes, &mut buffer);
            buffer
        });
        println!("1 MiB: {ours:?} as a whole, {theirs:?} item by item");
        assert!(ours * 3 < theirs, "{ours:?} as a whole, {theirs:?} item by item");
    }

    #[test]
    fn a_length_that_lies_is_an_error() {
        for wrong in [&[0, 0, 0][..], &[0, 0, 0, 2, 1], &[0, 0, 0, 1, 1, 1], &[0xff, 0xff, 0xff, 0xff]] {
            let buffer = RustBuffer::from_vec(wrong.to_vec());
            assert!(<Bytes as Lift<UniFfiTag>>::try_lift(buffer).is_err(), "{wrong:?}");
        }
    }
}
