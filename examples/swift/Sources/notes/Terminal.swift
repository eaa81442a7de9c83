import Foundation

/// A line for the person, at once.
func say(_ words: String) {
    FileHandle.standardOutput.write(Data((words + "\n").utf8))
}

/// Text of other people, without what would steer the terminal.
func shown(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { isPrintable($0) ? $0 : "?" }))
}

func shown(_ data: Data) -> String {
    shown(String(decoding: data, as: UTF8.self))
}

private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    default: true
    }
}

func hexadecimal(_ data: Data) -> String {
    data.map { String(format: "%02x", $0) }.joined()
}

/// The lines that the person types. A thread of its own waits for them, so that no task has to.
func typedLines() -> AsyncStream<String> {
    let prompted = isatty(STDIN_FILENO) == 1
    return AsyncStream { continuation in
        Thread.detachNewThread {
            while true {
                if prompted { FileHandle.standardOutput.write(Data("> ".utf8)) }
                guard let line = readLine() else { break }
                continuation.yield(line)
                // The process would not end while a thread of it waits for a line.
                if split(line.trimmingCharacters(in: .whitespacesAndNewlines)).first == "quit" { break }
            }
            continuation.finish()
        }
    }
}

func showProgress(done: Int, total: Int) {
    let filled = total == 0 ? 40 : done * 40 / total
    let bar = String(repeating: "#", count: filled) + String(repeating: " ", count: 40 - filled)
    FileHandle.standardError.write(Data("\r[\(bar)] \(done) of \(total)".utf8))
}

/// A first word, and what follows it.
func split(_ line: String) -> (first: String, rest: String) {
    let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
    return (words.first.map(String.init) ?? "", words.count > 1 ? String(words[1]) : "")
}
