import Foundation
import Kith

private let help = """
    create NAME          a new notebook
    invite [ROLE]        a token for one more: admin, writer (the usual) or reader
    join TOKEN           to the notebook of somebody else
    write TITLE TEXT     a note; a title is one word
    read TITLE           one note
    list                 all titles
    watch                says from now on what happens
    members              who is there
    name NAME            what you are called here
    remove MEMBER        by the beginning of an id, or by name
    leave                deletes the notebook here
    status               who is connected, and who lacks what
    quit
    """

/// A shared notebook on the terminal: `swift run notes DIRECTORY`, then `help`. Two people try it in two terminals: one says
/// `create home` and `invite`, the other one `join TOKEN`, and both write and list.
@main
struct Program {
    static func main() async throws {
        guard CommandLine.arguments.count == 2 else {
            FileHandle.standardError.write(Data("usage: notes DIRECTORY\n".utf8))
            exit(1)
        }
        try await Node.with(at: URL(fileURLWithPath: CommandLine.arguments[1], isDirectory: true)) { node in
            var book = try Notebook(node: node)
            for await line in typedLines() {
                let (command, argument) = split(line.trimmingCharacters(in: .whitespacesAndNewlines))
                if command == "quit" { break }
                do {
                    if command == "help" {
                        say(help)
                    } else if !command.isEmpty, try await !book.carryOut(command, argument) {
                        say("no such command: \(shown(command)) (try help)")
                    }
                } catch let error as KithError {
                    say("error: \(shown(error.description))")
                }
            }
            book.close()
        }
    }
}
