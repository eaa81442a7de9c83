//! What a language's tests write for a call, a kind of failure or a kind of event.

use super::Language;
use crate::borders::fill;

/// How a language's tests name a kind of failure.
pub(super) fn spelling(language: Language, kind: &str) -> String {
    let template = match language {
        Language::Rust => "ErrorKind::{Pascal}",
        Language::C => "KITH_{UPPER}",
        Language::Python => "kith.{Pascal}Error",
        Language::Kotlin => "KithException.{Pascal}",
        Language::Swift => ".{camel}",
    };
    fill(template, kind)
}

/// How a language's tests name a kind of event.
pub(super) fn event_spelling(language: Language, event: &str) -> String {
    let template = match language {
        Language::Rust => "Event::{Pascal}",
        Language::C => "KITH_EVENT_{UPPER}",
        Language::Python => "kith.{Pascal}",
        Language::Kotlin => "Event.{Pascal}",
        Language::Swift => ".{camel}",
    };
    fill(template, event)
}

/// What is read like a field where a language has such things.
const PROPERTIES: [&str; 6] = ["id", "addresses", "me", "role", "application", "name"];

/// How a language's tests write a call, which the list has in Python's spelling: in one of these ways.
pub(super) fn call_spellings(language: Language, call: &str) -> Vec<String> {
    let templates: &[&str] = match (language, call) {
        (Language::Rust, "open") => &["Node::open("],
        (Language::Rust, "import_from") => &["storage::import("],
        (Language::Rust, "adopt") => &["storage::adopt("],
        (Language::C, "import_from") => &["kith_node_import("],
        (Language::C, "create_context" | "join") => &["kith_node_{snake}(", "kith_node_{snake}_with("],
        (Language::C, "events") => &["kith_context_events(", "kith_context_on_event("],
        (Language::C, _) => &["kith_node_{snake}(", "kith_context_{snake}("],
        (Language::Kotlin, "open") => &["Node.open(", "Node.inMemory("],
        (Language::Kotlin, "events") => &[".events(", ".subscribe("],
        (Language::Swift, "open") => &["Node.open(", "Node.with("],
        (Language::Swift, "import_from") => &["Node.import("],
        (Language::Python | Language::Kotlin | Language::Swift, name) if PROPERTIES.contains(&name) => {
            &[".{camel}"]
        }
        (Language::Rust | Language::Python, _) => &[".{snake}("],
        (Language::Kotlin | Language::Swift, _) => &[".{camel}("],
    };
    templates.iter().map(|template| fill(template, call)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_events_are_spelled_as_each_language_does() {
        let spelled = Language::ALL.map(|language| spelling(language, "NotMember"));
        let wanted = [
            "ErrorKind::NotMember",
            "KITH_NOT_MEMBER",
            "kith.NotMemberError",
            "KithException.NotMember",
            ".notMember",
        ];
        assert_eq!(spelled, wanted);
        let spelled = Language::ALL.map(|language| event_spelling(language, "KeyTrouble"));
        let wanted = [
            "Event::KeyTrouble",
            "KITH_EVENT_KEY_TROUBLE",
            "kith.KeyTrouble",
            "Event.KeyTrouble",
            ".keyTrouble",
        ];
        assert_eq!(spelled, wanted);
    }

    #[test]
    fn calls_are_spelled_as_each_language_does() {
        let spelled = |call| Language::ALL.map(|language| call_spellings(language, call).join(" "));
        assert_eq!(
            spelled("set_role"),
            [
                ".set_role(",
                "kith_node_set_role( kith_context_set_role(",
                ".set_role(",
                ".setRole(",
                ".setRole("
            ]
        );
        assert_eq!(spelled("me"), [".me(", "kith_node_me( kith_context_me(", ".me", ".me", ".me"]);
        assert_eq!(spelled("open")[4], "Node.open( Node.with(");
    }
}
