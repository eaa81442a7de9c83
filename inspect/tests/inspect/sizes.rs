//! What is counted of a store.

use super::*;

/// Rows, bytes of keys and bytes of values, by key space.
type Sizes = BTreeMap<String, (u64, u64, u64)>;

fn counted(directory: &Path) -> Sizes {
    let sizes = json(directory, &["sizes"]);
    let of = |size: &Value| {
        assert!(size["damage"].is_null(), "{size}");
        let number = |name: &str| size[name].as_u64().unwrap();
        (
            size["keyspace"].as_str().unwrap().to_string(),
            (number("rows"), number("key_bytes"), number("value_bytes")),
        )
    };
    sizes.as_array().unwrap().iter().map(of).collect()
}

/// The same, of all rows at once.
fn held(directory: &Path) -> Sizes {
    let copy = tempfile::tempdir().unwrap();
    let inspection = Inspection::of_copy(directory, copy.path(), None).unwrap();
    let snapshot = inspection.store().snapshot().unwrap();
    let spaces = Keyspace::ALL.into_iter().filter(|space| *space != Keyspace::Chunks);
    let of = |space: Keyspace| {
        let rows = snapshot.scan(space, &[], None, false, usize::MAX).unwrap();
        let keys: usize = rows.iter().map(|(key, _)| key.len()).sum();
        let values: usize = rows.iter().map(|(_, value)| value.len()).sum();
        (space.name().to_string(), (rows.len() as u64, keys as u64, values as u64))
    };
    spaces.map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_those_of_the_rows_that_the_store_holds() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open(options(&Hub::new(), folder.path())).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    for number in 0..40u8 {
        let value = vec![number; usize::from(number) * 100];
        context.put(StateKey::of("pantry", &number.to_string()), &value).await.unwrap();
    }
    node.shutdown().await.unwrap();
    let before = counted(folder.path());
    assert_eq!(before, held(folder.path()));
    // More than are read at once, and not a multiple of that.
    let rows = before["transactions"].0;
    assert!(rows > 40 && !rows.is_multiple_of(32), "{before:?}");
    assert!(before["state"].2 > 100 * (1..40).sum::<u64>(), "{before:?}");

    // One row more, of known lengths.
    let store = storage::open(folder.path(), StorageEngine::Auto, None, None).unwrap();
    let mut batch = Batch::default();
    batch.put(Keyspace::State, vec![255; 50], vec![1; 7_000]);
    store.commit(&batch, Durability::Power).unwrap();
    store.close().unwrap();
    let mut expected = before.clone();
    let (rows, keys, values) = before["state"];
    expected.insert("state".into(), (rows + 1, keys + 50, values + 7_000));
    assert_eq!(counted(folder.path()), expected);

    let text = good(folder.path(), &["sizes"]);
    for (name, (rows, keys, values)) in expected {
        let line = text.lines().find(|line| line.starts_with(&name)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, [&name, &rows.to_string(), &keys.to_string(), &values.to_string()]);
    }
}
