//! What one member reads and writes.

use kith_core::ErrorKind;
use kith_core::application::kv::{CompareAndSet, Operation, Put};
use kith_core::limits;
use kith_core::node::Level;
use kith_core::replica::{StateKey, TransactionId};

use crate::nodes::key;
use crate::{alone, close, refused};

// scenario: put_get_delete
#[tokio::test]
async fn a_value_is_set_read_and_removed() {
    let (node, context) = alone().await;
    assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap(), None);
    context.put(key("one"), b"value").await.unwrap();
    assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap().unwrap(), b"value");
    context.put(key("one"), b"").await.unwrap();
    assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap().unwrap(), b"");
    context.delete(key("one")).await.unwrap();
    context.delete(key("one")).await.unwrap();
    assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap(), None);
    close(&[&node]).await;
}

// scenario: counters_and_appending
#[tokio::test]
async fn numbers_add_up_and_bytes_are_appended() {
    let (node, context) = alone().await;
    assert_eq!(context.add(key("n"), 40).await.unwrap(), 40);
    assert_eq!(context.add(key("n"), -42).await.unwrap(), -2);
    context.add(key("most"), i64::MAX).await.unwrap();
    refused(context.add(key("most"), 1).await, ErrorKind::Rejected, "");
    context.append(key("text"), b"a").await.unwrap();
    context.append(key("text"), b"b").await.unwrap();
    assert_eq!(context.get(key("text"), Level::Tentative).await.unwrap().unwrap(), b"ab");
    refused(context.add(key("text"), 1).await, ErrorKind::Rejected, "a counter holds 8");
    close(&[&node]).await;
}

// scenario: compare_and_set
#[tokio::test]
async fn only_the_expected_value_is_replaced() {
    let (node, context) = alone().await;
    context.compare_and_set(key("one"), None, Some(b"a")).await.unwrap();
    refused(context.compare_and_set(key("one"), None, Some(b"b")).await, ErrorKind::Rejected, "");
    refused(context.compare_and_set(key("one"), Some(b"x"), None).await, ErrorKind::Rejected, "");
    assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap().unwrap(), b"a");
    context.compare_and_set(key("one"), Some(b"a"), None).await.unwrap();
    assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap(), None);
    close(&[&node]).await;
}

// scenario: batch_all_or_nothing
#[tokio::test]
async fn a_batch_happens_whole_or_not_at_all() {
    let (node, context) = alone().await;
    let put = |name: &str, value: &[u8]| Operation::Put(Put { key: key(name), value: value.to_vec() });
    context.batch(vec![put("one", b"a"), put("two", b"b")]).await.unwrap();
    let never = Operation::CompareAndSet(CompareAndSet {
        key: key("two"),
        expected: Some(b"never".to_vec()),
        value: None,
    });
    refused(context.batch(vec![put("one", b"c"), never]).await, ErrorKind::Rejected, "");
    assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap().unwrap(), b"a");
    close(&[&node]).await;
}

// scenario: entries_in_pages
#[tokio::test]
async fn pages_go_through_all_entries_in_key_order() {
    let (node, context) = alone().await;
    let mut wanted: Vec<StateKey> = (0..7).map(|number: u8| key(&number.to_string())).collect();
    for key in &wanted {
        context.put(*key, b"x").await.unwrap();
    }
    wanted.sort_unstable();
    context.put(StateKey::of("elsewhere", "x"), b"x").await.unwrap();
    let (prefix, mut after, mut seen) = (StateKey::collection("test"), None, Vec::new());
    loop {
        let page = context.entries(&prefix, after, 3, Level::Tentative).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        seen.extend(page.into_iter().map(|entry| entry.key));
    }
    assert_eq!(seen, wanted);
    close(&[&node]).await;
}

// scenario: order_in_pages, what_became_of_a_transaction
#[tokio::test]
async fn the_order_is_read_and_each_transaction_tells_of_itself() {
    let (node, context) = alone().await;
    let mut ids = Vec::new();
    for number in 0..5u8 {
        ids.push(context.put(key("x"), &[number]).await.unwrap());
    }
    let first = context.history(None, 4).await.unwrap();
    let rest = context.history(Some(first[3].place), 100).await.unwrap();
    let all: Vec<_> = first.iter().chain(&rest).collect();
    // Before the first call there is its epoch.
    assert_eq!(all.iter().map(|info| info.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(all[2..].iter().map(|info| info.id).collect::<Vec<_>>(), ids);
    let info = context.transaction(ids[0]).await.unwrap().unwrap();
    assert_eq!((info.author, info.sequence, info.method.as_deref()), (context.me(), 3, Some("put")));
    assert!(info.receipt.unwrap().outcome.is_ok());
    assert!(context.transaction(TransactionId([7; 32])).await.unwrap().is_none());
    close(&[&node]).await;
}

// scenario: methods_by_name
#[tokio::test]
async fn methods_and_questions_have_names() {
    let (node, context) = alone().await;
    let mut arguments = key("n").0.to_vec();
    arguments.extend(5i64.to_le_bytes());
    let done = context.execute("add", &arguments).await.unwrap();
    assert_eq!(done.output, 5i64.to_le_bytes());
    assert!(context.query("get", &key("n").0).await.unwrap().ends_with(&done.output));
    refused(context.execute("nonsense", &[]).await, ErrorKind::Rejected, "no method");
    refused(context.query("nonsense", &[]).await, ErrorKind::Rejected, "no query");
    close(&[&node]).await;
}

// scenario: big_values
#[tokio::test]
async fn a_mebibyte_is_kept_whole_and_no_byte_more() {
    let (node, context) = alone().await;
    let large: Vec<u8> = (0..limits::VALUE).map(|at| (at * 31) as u8).collect();
    context.put(key("large"), &large).await.unwrap();
    let larger = [&large[..], &[0]].concat();
    refused(context.put(key("large"), &larger).await, ErrorKind::LimitExceeded, "1048577");
    assert_eq!(context.get(key("large"), Level::Tentative).await.unwrap().unwrap(), large);
    close(&[&node]).await;
}

// scenario: unicode
#[tokio::test]
async fn texts_come_back_as_they_were() {
    let (node, context) = alone().await;
    for text in ["", "ä ö ü", "漢字", "👩‍👩‍👧‍👦", "e\u{301}", "עברית", "a\u{202e}b"]
    {
        context.set_name(text).await.unwrap();
        context.set_display_name(text).await.unwrap();
        context.put(key(text), text.as_bytes()).await.unwrap();
        let mut options = kith_core::node::InviteOptions::default();
        options.note = text.into();
        let token = context.invite(options).await.unwrap().to_text();
        assert_eq!(context.name(), text);
        assert_eq!(context.members().await.unwrap()[0].name, text);
        assert_eq!(node.inspect(&token).unwrap().note, text);
        assert_eq!(context.get(key(text), Level::Tentative).await.unwrap().unwrap(), text.as_bytes());
    }
    close(&[&node]).await;
}

// scenario: callers_64
#[tokio::test]
async fn sixty_four_callers_each_get_their_own_answer() {
    let (node, context) = alone().await;
    let calls = (0..64u8).map(|caller| {
        let context = context.clone();
        tokio::spawn(async move {
            context.put(key(&caller.to_string()), &[caller]).await.unwrap();
            let counted = context.add(key("n"), 1).await.unwrap();
            (counted, context.get(key(&caller.to_string()), Level::Tentative).await.unwrap().unwrap())
        })
    });
    let mut counted = Vec::new();
    for (caller, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        let (count, value) = call.await.unwrap();
        assert_eq!(value, [caller as u8]);
        counted.push(count);
    }
    counted.sort_unstable();
    assert_eq!(counted, (1..=64).collect::<Vec<i64>>());
    close(&[&node]).await;
}
