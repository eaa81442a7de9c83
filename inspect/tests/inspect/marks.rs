//! Marks in a history that a working context does not have.

use super::*;

fn shown(history: &Value) -> &Vec<Value> {
    history[0]["shown"].as_array().unwrap()
}

/// `bindings/events` has a history in which a member signed two transactions of one number.
#[test]
fn both_of_a_number_are_marked_also_where_only_one_is_shown() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name).to_str().unwrap().to_string();
    let directory = root.path().join("node");
    fs::write(at("key"), [7; 32]).unwrap();
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/../bindings/events/history.kith");
    good(&directory, &["import", "--input", recorded, "--export-key-file", &at("key")]);

    let history = json(&directory, &["history"]);
    let entries = shown(&history);
    let number = |entry: &Value| (entry["author"].as_str().unwrap().to_string(), entry["sequence"].as_u64());
    let mut numbers: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        numbers.entry(number(entry)).or_default().push(place);
    }
    let twins: Vec<&Vec<usize>> = numbers.values().filter(|places| places.len() > 1).collect();
    let [twins] = twins[..] else { panic!("one fork is in the history, of one number: {twins:?}") };
    let forked = |entries: &[Value]| -> Vec<usize> {
        let marked = entries.iter().enumerate().filter(|(_, entry)| entry["forked"] == true);
        marked.map(|(place, _)| place).collect()
    };
    assert_eq!((forked(entries), twins.len()), (twins.clone(), 2));

    let text = good(&directory, &["history"]);
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("  FORKED")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        twins
            .iter()
            .zip(&lines)
            .all(|(place, line)| line.contains(&entries[*place]["id"].as_str().unwrap()[..12]))
    );
    good(&directory, &["history", "--svg", &at("picture")]);
    let picture = fs::read_to_string(at("picture")).unwrap();
    // One more is in the legend.
    assert_eq!(picture.matches("<circle class=\"forked\"").count(), 2 + 1);
    good(&directory, &["bundle", "--output", &at("bundle")]);
    let bundle: Value = serde_json::from_str(&fs::read_to_string(at("bundle")).unwrap()).unwrap();
    assert_eq!(forked(bundle["contexts"][0]["history"].as_array().unwrap()), *twins);

    // The other one is before what is shown.
    let last = (entries.len() - twins[1]).to_string();
    let tail = json(&directory, &["history", "--last", &last]);
    assert_eq!(forked(shown(&tail)), [0]);
}
