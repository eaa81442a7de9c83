use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    end_of(prefix)
}

fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new(&zeroize::Zeroizing::new([3; 32]))
}

/// Few distinct ids, so that they meet, some of which differ in the last byte only or end with 255. None follows another at once: random ones
/// do not, and it could not be told from the end of all that begins with the other.
fn an_id() -> impl Strategy<Value = [u8; 32]> {
    prop::sample::select(vec![
        [0; 32],
        [1; 32],
        {
            let mut id = [1; 32];
            id[31] = 255;
            id
        },
        {
            let mut id = [1; 32];
            id[31] = 3;
            id
        },
        [7; 32],
    ])
}

fn small() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 1, 2, u64::MAX])
}

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn a_key(keyspace: Keyspace) -> BoxedStrategy<Vec<u8>> {
    let number = || prop::sample::select(vec![0u32, 1, 2]);
    let parts = (number(), an_id(), small(), small(), an_id());
    let label = prop::sample::select(vec!["tip/", "cover/", "pending/", "context/", "act/", "core"]);
    // Some are too short for their names.
    let short = prop::option::weighted(0.1, 0usize..60);
    (parts, label, 0u8..3, prop::collection::vec(any::<u8>(), 0..3), short)
        .prop_map(move |((number, a, m, n, b), label, shape, rest, short)| {
            let number = number.to_be_bytes();
            let (m, n) = (m.to_be_bytes(), n.to_be_bytes());
            let mut key = match keyspace {
                Keyspace::Transactions => bytes(&[&number, &a, &m, &b]),
                Keyspace::Ids => bytes(&[&number, &a]),
                Keyspace::Order => bytes(&[&number, &m, &n, &a]),
                Keyspace::Versions => bytes(&[&number, &a, &m, &n, &b]),
                Keyspace::Readers if shape == 0 => bytes(&[&number, &[0], &a, &m, &n, &b]),
                Keyspace::Readers => {
                    bytes(&[&number, &[1, shape], &a[..usize::from(shape)], &m, &n, &b, &a, &b])
                }
                Keyspace::Meta => match label {
                    "tip/" | "cover/" => bytes(&[&number, label.as_bytes(), &a, &m, &b]),
                    "pending/" => bytes(&[&number, label.as_bytes(), &m, &n, &a]),
                    "context/" => bytes(&[&number, label.as_bytes(), &a]),
                    _ => bytes(&[&number, label.as_bytes(), &rest]),
                },
                Keyspace::Keys => bytes(&[&number, b"chain/", &a, &b, &rest]),
                Keyspace::Peers => bytes(&[&[0, 36, 8, 1, 18, 32], &a]),
                _ => bytes(&[&number, &a, &rest]),
            };
            key.truncate(short.unwrap_or(usize::MAX));
            // No format has a part of a name at its end.
            let cut = |name: &Name| name.from < key.len() && key.len() < name.to;
            if let Some(name) = names(keyspace, &key).into_iter().flatten().find(cut) {
                key.truncate(name.from);
            }
            key
        })
        .boxed()
}

fn any_keyspace() -> impl Strategy<Value = Keyspace> {
    prop::sample::select(vec![
        Keyspace::Meta,
        Keyspace::Transactions,
        Keyspace::Ids,
        Keyspace::Order,
        Keyspace::Versions,
        Keyspace::State,
        Keyspace::Readers,
        Keyspace::Keys,
        Keyspace::Peers,
        Keyspace::Events,
    ])
}

type Stored = BTreeMap<Vec<u8>, u32>;

fn scan(
    stored: &Stored,
    keyspace: Keyspace,
    (from, to): (&[u8], Option<&[u8]>),
    reverse: bool,
    limit: usize,
) -> Result<Vec<Vec<u8>>> {
    let found = pseudonyms().scan((keyspace, reverse), (from, to), limit, |from, to, limit| {
        let to = to.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = stored.range::<[u8], _>((std::ops::Bound::Included(from), to));
        let owned = |(key, value): (&Vec<u8>, &u32)| (key.clone(), *value);
        Ok(if reverse {
            range.rev().take(limit).map(owned).collect()
        } else {
            range.take(limit).map(owned).collect()
        })
    })?;
    for entry in &found {
        assert_eq!(pseudonyms().hide(keyspace, &entry.key), entry.stored.as_slice());
    }
    Ok(found.into_iter().map(|entry| entry.key).collect())
}

/// The bounds that ranges may have: whole keys, their successors, prefixes that end where a name does, and the ends of these.
fn bounds(keyspace: Keyspace, key: &[u8]) -> Vec<Vec<u8>> {
    let mut prefixes = vec![NUMBER.min(key.len()), key.len()];
    for name in names(keyspace, key).into_iter().flatten() {
        prefixes.extend([name.from, name.to]);
        if name.order == Order::Kept {
            prefixes.extend([name.from - 8, name.from + 1, name.to - 1]);
        }
    }
    prefixes.retain(|length| *length <= key.len());
    let mut bounds: Vec<Vec<u8>> = prefixes.into_iter().map(|length| key[..length].to_vec()).collect();
    bounds.push(successor(key));
    bounds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn keys_come_back_and_keep_their_length(keyspace in any_keyspace(), key in prop::collection::vec(any::<u8>(), 0..200)) {
        let stored = pseudonyms().hide(keyspace, &key).into_owned();
        prop_assert_eq!(stored.len(), key.len());
        let shown = pseudonyms().show(keyspace, &stored).into_owned();
        prop_assert_eq!(shown, key);
    }

    /// Whatever a range is asked for in the ways that the layers above do, it has exactly the keys that it had without pseudonyms: in the
    /// same order where the order is kept, and else so that pages joined together have each key once.
    #[test]
    fn ranges_have_the_same_keys(
        (keyspace, keys) in any_keyspace().prop_flat_map(|k| (Just(k), prop::collection::vec(a_key(k), 1..40))),
        pick in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(),
        reverse: bool,
        limit in prop::sample::select(vec![1usize, 2, 3, 7, 1000]),
    ) {
        let hide = |key: &Vec<u8>| pseudonyms().hide(keyspace, key).into_owned();
        let stored: Stored = keys.iter().map(|key| (hide(key), 1)).collect();
        let plain: std::collections::BTreeSet<Vec<u8>> = keys.iter().cloned().collect();
        prop_assert_eq!(stored.len(), plain.len());
        let key = pick.get(&keys).clone();
        for from in bounds(keyspace, &key) {
            // A range ends with one of the prefixes of its beginning, at a bound in the same one, or with the key space.
            let mut ends: Vec<Option<Vec<u8>>> = vec![None];
            ends.extend(bounds(keyspace, &from).iter().filter(|p| p.len() <= from.len()).map(|p| prefix_end(p)));
            let own = names(keyspace, &key).into_iter().flatten().rfind(|name| name.order == Order::Own);
            let shared = own.map_or(0, |name| name.to.min(key.len()));
            let other = second.get(&keys);
            if other.starts_with(&key[..shared]) && from.len() >= shared {
                ends.extend(bounds(keyspace, other).into_iter().filter(|end| end.len() > shared).map(Some));
            }
            for to in ends {
                // Beginnings within a name are no business of anybody's.
                let cut_through = |bound: &[u8]| names(keyspace, bound).into_iter().flatten()
                    .any(|name| name.order == Order::Own && bound.len() > name.from && bound.len() < name.to);
                if cut_through(&from) {
                    continue;
                }
                let within = |key: &&Vec<u8>| key.as_slice() >= from.as_slice()
                    && to.as_ref().is_none_or(|to| key.as_slice() < to.as_slice());
                let mut expected: Vec<Vec<u8>> = plain.iter().filter(within).cloned().collect();
                let whole = scan(&stored, keyspace, (&from, to.as_deref()), reverse, usize::MAX).unwrap();
                let one_name = to.as_ref().is_some_and(|to| {
                    to.starts_with(&key[..shared]) || prefix_end(&key[..shared]).as_ref() == Some(to)
                });
                // Rows of other labels, which have names of their own, are beside those of this one.
                let label = &key[..key.len().min(NUMBER + 3)];
                let one_label = keyspace != Keyspace::Meta
                    || label.len() == NUMBER + 3 && from.starts_with(label) && to.as_ref().is_some_and(|to| to.starts_with(label));
                let ordered = match own {
                    // A key of `keys` without a whole label has no name, but those beside it have.
                    None => one_label && keyspace != Keyspace::Keys,
                    // A key that is too short for its name is not beside those that have one.
                    Some(own) => key.len() >= own.to && from.len() >= shared && one_name,
                };
                if ordered {
                    if reverse {
                        expected.reverse();
                    }
                    prop_assert_eq!(&whole, &expected, "{:?} from {:?} to {:?}", keyspace, from, to);
                } else if from.len() <= NUMBER && to.as_ref().is_none_or(|to| to.len() <= NUMBER) {
                    let mut sorted = whole.clone();
                    sorted.sort();
                    prop_assert_eq!(&sorted, &expected, "{:?} from {:?} to {:?}", keyspace, from, to);
                }
                // Page by page, as pages are asked for.
                let (mut joined, mut begin, mut end) = (Vec::new(), from.clone(), to.clone());
                loop {
                    let page = scan(&stored, keyspace, (&begin, end.as_deref()), reverse, limit).unwrap();
                    prop_assert!(page.len() <= limit);
                    let Some(last) = page.last() else { break };
                    if reverse {
                        end = Some(last.clone());
                    } else {
                        begin = successor(last);
                    }
                    joined.extend(page);
                }
                prop_assert_eq!(joined, whole, "{:?} from {:?} to {:?} by {}", keyspace, from, to, limit);
            }
        }
    }
}

#[test]
fn no_name_is_left_in_a_key() {
    let id: [u8; 32] = std::array::from_fn(|i| 200 + i as u8 % 50);
    let other: [u8; 32] = std::array::from_fn(|i| 100 + i as u8 % 50);
    let eight = [0; 8];
    let keys: Vec<(Keyspace, Vec<u8>)> = vec![
        (Keyspace::Transactions, bytes(&[&[0; 4], &id, &eight, &other])),
        (Keyspace::Ids, bytes(&[&[0; 4], &id])),
        (Keyspace::Order, bytes(&[&[0; 4], &eight, &eight, &id])),
        (Keyspace::Versions, bytes(&[&[0; 4], &[9; 32], &eight, &eight, &id])),
        (Keyspace::Readers, bytes(&[&[0; 4], &[0], &[9; 32], &eight, &eight, &id])),
        (Keyspace::Readers, bytes(&[&[0; 4], &[1, 3], &[9; 3], &eight, &eight, &id, &[9; 64]])),
        (Keyspace::Meta, bytes(&[&[0; 4], b"context/", &id])),
        (Keyspace::Meta, bytes(&[&[0; 4], b"tip/", &id, &eight, &other])),
        (Keyspace::Meta, bytes(&[&[0; 4], b"cover/", &id, &eight, &other])),
        (Keyspace::Meta, bytes(&[&[0; 4], b"pending/", &eight, &eight, &id])),
        (Keyspace::Keys, bytes(&[&[0; 4], b"chain/", &id, &other])),
        (Keyspace::Keys, bytes(&[&[0; 4], b"ring/", &[3], &id, &other])),
        (Keyspace::Meta, bytes(&[&[0; 4], b"unopened/", &eight, &eight, &id])),
        (Keyspace::Peers, bytes(&[&[0, 36, 8, 1, 18, 32], &id])),
    ];
    for (keyspace, key) in keys {
        let stored = pseudonyms().hide(keyspace, &key).into_owned();
        for part in id.windows(4).chain(other.windows(4)) {
            assert!(!stored.windows(4).any(|w| w == part), "{keyspace:?} shows {part:?}");
        }
        assert_ne!(
            Pseudonyms::new(&zeroize::Zeroizing::new([4; 32])).hide(keyspace, &key),
            stored.as_slice()
        );
    }
    // One name in two key spaces has two pseudonyms.
    let ids = pseudonyms().hide(Keyspace::Ids, &bytes(&[&[0; 4], &id])).into_owned();
    let authors = pseudonyms().hide(Keyspace::Transactions, &bytes(&[&[0; 4], &id])).into_owned();
    assert_ne!(ids, authors);
}

#[test]
fn a_range_of_a_part_of_a_name_is_a_defect() {
    let from = bytes(&[&[0; 4], &[7; 31]]);
    let to = prefix_end(&from);
    let error = scan(&Stored::new(), Keyspace::Transactions, (&from, to.as_deref()), false, 1).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Internal);
}
