//! Whether all that is public in Swift has a comment: DocC shows what has none, too, and does not warn of it.

/// The public declarations of a text that have no `///` above them (or above their attributes), with their lines' numbers.
fn undocumented(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let documented = |number: usize| {
        let above = lines[..number].iter().rev().find(|line| !line.starts_with('@'));
        above.is_some_and(|line| line.starts_with("///"))
    };
    lines
        .iter()
        .enumerate()
        .filter(|(number, line)| is_public(line) && !documented(*number))
        .map(|(number, line)| (number + 1, *line))
        .collect()
}

/// Whether a line begins a declaration that others see. What is imported is none; an extension has the comment of what it extends.
fn is_public(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with('@'));
    matches!(words.next(), Some("public" | "open")) && !matches!(words.next(), Some("import" | "extension"))
}

mod tests {
    use super::*;
    use crate::tools::root;

    #[test]
    fn what_is_public_and_has_no_comment_is_found() {
        let text = "public import Foundation\n\n/// A thing.\npublic struct Thing {\n    public let a: Int\n    /// B.\n    \
                    @available(*, deprecated)\n    @discardableResult\n    public func b() {}\n\n    let own: Int\n    // no comment of DocC's\n    \
                    @discardableResult public static func c() {}\n    /// D.\n\n    public mutating func d() {}\n}\npublic extension Thing {\n}\n";
        let found = undocumented(text);
        assert_eq!(
            found,
            [
                (5, "public let a: Int"),
                (13, "@discardableResult public static func c() {}"),
                (16, "public mutating func d() {}")
            ]
        );
    }

    #[test]
    fn all_that_is_public_has_a_comment() {
        let mut declared = 0;
        let mut found = Vec::new();
        for module in ["Kith", "KithTesting"] {
            let folder = root().join("bindings/swift/Sources").join(module);
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                declared += text.lines().filter(|line| is_public(line.trim())).count();
                found.extend(
                    undocumented(&text)
                        .into_iter()
                        .map(|(number, line)| format!("{}:{number}: {line}", path.display())),
                );
            }
        }
        assert_eq!(found, [""; 0]);
        assert!(declared > 200, "only {declared} are looked at");
    }
}
