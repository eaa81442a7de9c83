//! The built-in key-value application.
//!
//! Every method's arguments are the borsh encoding of the struct of the same name; the functions of this module
//! ([`put`], [`add`], …) give a method's name and its encoded arguments, ready for a call. [`put`] and [`delete`] read
//! nothing, so a late arrival never makes them run again.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Application, ApplicationError, Call, State};
use crate::limits;
use crate::replica::StateKey;

/// Most operations in one [`Batch`].
pub const BATCH: usize = 10_000;

/// A method's name and its encoded arguments.
pub type Encoded = (&'static str, Vec<u8>);

/// Sets a key. Output: nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Put {
    /// Which.
    pub key: StateKey,
    /// At most [`limits::VALUE`] bytes.
    pub value: Vec<u8>,
}

/// Removes a key, which may be absent. Output: nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delete {
    /// Which.
    pub key: StateKey,
}

/// Adds to a counter: 8 bytes, little-endian, signed; absent is 0. Rejected on overflow, and where the value has another
/// length. Output: the counter's new value.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Add {
    /// Which.
    pub key: StateKey,
    /// May be negative.
    pub delta: i64,
}

/// Sets or removes a key if its value is what the caller expects, and is rejected otherwise. Output: nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CompareAndSet {
    /// Which.
    pub key: StateKey,
    /// The value that must be there; none: the key must be absent.
    pub expected: Option<Vec<u8>>,
    /// The new value, at most [`limits::VALUE`] bytes; none removes the key.
    pub value: Option<Vec<u8>>,
}

/// Appends to a value; absent is empty. The result has at most [`limits::VALUE`] bytes. Output: nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Append {
    /// Which.
    pub key: StateKey,
    /// What to append.
    pub bytes: Vec<u8>,
}

/// One operation of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[allow(missing_docs)]
pub enum Operation {
    Put(Put),
    Delete(Delete),
    Add(Add),
    CompareAndSet(CompareAndSet),
    Append(Append),
}

/// Several operations in order: all of them or, if one is rejected, none. Output: their outputs, the borsh encoding of a list of
/// byte strings ([`batch_output`]).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Batch {
    /// At most [`BATCH`].
    pub operations: Vec<Operation>,
}

/// Query: the value of a key. Output: [`get_output`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Get {
    /// Which.
    pub key: StateKey,
}

fn encoded(method: &'static str, arguments: &impl BorshSerialize) -> Encoded {
    // Writing into a vector cannot fail.
    (method, borsh::to_vec(arguments).unwrap_or_default())
}

/// A call of `put`; see [`Put`].
#[must_use]
pub fn put(key: &StateKey, value: impl Into<Vec<u8>>) -> Encoded {
    encoded("put", &Put { key: *key, value: value.into() })
}

/// A call of `delete`; see [`Delete`].
#[must_use]
pub fn delete(key: &StateKey) -> Encoded {
    encoded("delete", &Delete { key: *key })
}

/// A call of `add`; see [`Add`].
#[must_use]
pub fn add(key: &StateKey, delta: i64) -> Encoded {
    encoded("add", &Add { key: *key, delta })
}

/// A call of `compare_and_set`; see [`CompareAndSet`].
#[must_use]
pub fn compare_and_set(key: &StateKey, expected: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Encoded {
    encoded("compare_and_set", &CompareAndSet { key: *key, expected, value })
}

/// A call of `append`; see [`Append`].
#[must_use]
pub fn append(key: &StateKey, bytes: impl Into<Vec<u8>>) -> Encoded {
    encoded("append", &Append { key: *key, bytes: bytes.into() })
}

/// A call of `batch`; see [`Batch`].
#[must_use]
pub fn batch(operations: Vec<Operation>) -> Encoded {
    encoded("batch", &Batch { operations })
}

/// A query `get`; see [`Get`].
#[must_use]
pub fn get(key: &StateKey) -> Encoded {
    encoded("get", &Get { key: *key })
}

/// The counter's new value, from the output of `add`.
#[must_use]
pub fn add_output(output: &[u8]) -> Option<i64> {
    output.try_into().map(i64::from_le_bytes).ok()
}

/// The operations' outputs, from the output of `batch`.
#[must_use]
pub fn batch_output(output: &[u8]) -> Option<Vec<Vec<u8>>> {
    borsh::from_slice(output).ok()
}

/// The value or its absence, from the output of the query `get`.
#[must_use]
#[allow(clippy::option_option)]
pub fn get_output(output: &[u8]) -> Option<Option<Vec<u8>>> {
    borsh::from_slice(output).ok()
}

/// The key-value application. It takes no arguments at creation.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyValue;

impl Application for KeyValue {
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        let arguments = call.arguments;
        match call.method {
            "put" => Operation::Put(decode(arguments)?).apply(state),
            "delete" => Operation::Delete(decode(arguments)?).apply(state),
            "add" => Operation::Add(decode(arguments)?).apply(state),
            "compare_and_set" => Operation::CompareAndSet(decode(arguments)?).apply(state),
            "append" => Operation::Append(decode(arguments)?).apply(state),
            "batch" => decode::<Batch>(arguments)?.apply(state),
            method => Err(rejected(format!("there is no method `{method}`"))),
        }
    }

    fn query(
        &self,
        method: &str,
        arguments: &[u8],
        state: &mut dyn State,
    ) -> Result<Vec<u8>, ApplicationError> {
        match method {
            "get" => Ok(encoded("get", &state.get(&decode::<Get>(arguments)?.key)?).1),
            _ => Err(rejected(format!("there is no query `{method}`"))),
        }
    }
}

impl Operation {
    fn apply(self, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        match self {
            Self::Put(Put { key, value }) => put_checked(state, &key, &value)?,
            Self::Delete(Delete { key }) => state.delete(&key)?,
            Self::Add(Add { key, delta }) => {
                let now = match state.get(&key)? {
                    None => 0,
                    Some(value) => add_output(&value).ok_or_else(|| {
                        rejected(format!("{key} holds {} bytes; a counter holds 8", value.len()))
                    })?,
                };
                let next = now.checked_add(delta).ok_or_else(|| {
                    rejected(format!("{now} + {delta} does not fit a signed 64-bit counter"))
                })?;
                state.put(&key, &next.to_le_bytes())?;
                return Ok(next.to_le_bytes().to_vec());
            }
            Self::CompareAndSet(CompareAndSet { key, expected, value }) => {
                if state.get(&key)? != expected {
                    return Err(rejected(format!("{key} does not hold what the caller expects")));
                }
                match value {
                    Some(value) => put_checked(state, &key, &value)?,
                    None => state.delete(&key)?,
                }
            }
            Self::Append(Append { key, bytes }) => {
                let mut value = state.get(&key)?.unwrap_or_default();
                if value.len().saturating_add(bytes.len()) > limits::VALUE {
                    return Err(too_large(value.len().saturating_add(bytes.len())));
                }
                value.extend_from_slice(&bytes);
                state.put(&key, &value)?;
            }
        }
        Ok(Vec::new())
    }
}

impl Batch {
    fn apply(self, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        if self.operations.len() > BATCH {
            return Err(rejected(format!(
                "a batch has at most {BATCH} operations, not {}",
                self.operations.len()
            )));
        }
        let outputs: Result<Vec<Vec<u8>>, _> =
            self.operations.into_iter().map(|operation| operation.apply(state)).collect();
        Ok(encoded("batch", &outputs?).1)
    }
}

fn put_checked(state: &mut dyn State, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
    if value.len() > limits::VALUE {
        return Err(too_large(value.len()));
    }
    state.put(key, value)
}

fn decode<T: BorshDeserialize>(arguments: &[u8]) -> Result<T, ApplicationError> {
    borsh::from_slice(arguments).map_err(|error| rejected(format!("the arguments do not decode: {error}")))
}

fn rejected(text: String) -> ApplicationError {
    ApplicationError::Rejected(text)
}

fn too_large(length: usize) -> ApplicationError {
    rejected(format!("a value has at most {} bytes, not {length}", limits::VALUE))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::replica::{MemberId, Role, TransactionId};

    /// A state that counts its reads.
    #[derive(Default)]
    struct Map {
        entries: BTreeMap<StateKey, Vec<u8>>,
        reads: usize,
    }

    impl State for Map {
        fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError> {
            self.reads += 1;
            Ok(self.entries.get(key).cloned())
        }

        fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
            assert!(value.len() <= limits::VALUE, "the application checks the length itself");
            self.entries.insert(*key, value.to_vec());
            Ok(())
        }

        fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError> {
            self.entries.remove(key);
            Ok(())
        }

        fn entries(
            &mut self,
            _prefix: &[u8],
            _after: Option<&StateKey>,
            _limit: usize,
        ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError> {
            unreachable!("no method reads ranges")
        }

        fn emit(&mut self, _name: &str, _data: &[u8]) -> Result<(), ApplicationError> {
            unreachable!("no method emits")
        }
    }

    fn run(state: &mut Map, (method, arguments): Encoded) -> Result<Vec<u8>, ApplicationError> {
        let call = Call {
            method,
            arguments: &arguments,
            member: MemberId::default(),
            role: Role::Writer,
            transaction: TransactionId::default(),
            timestamp: 0,
        };
        KeyValue.execute(&call, state)
    }

    fn is_rejected(result: &Result<Vec<u8>, ApplicationError>) -> bool {
        matches!(result, Err(ApplicationError::Rejected(_)))
    }

    const K: StateKey = StateKey([1; 32]);
    const L: StateKey = StateKey([2; 32]);

    #[test]
    fn put_and_delete_are_blind() {
        let mut state = Map::default();
        assert_eq!(run(&mut state, put(&K, b"one")), Ok(Vec::new()));
        assert_eq!(run(&mut state, put(&K, b"two")), Ok(Vec::new()));
        assert_eq!(run(&mut state, put(&L, b"")), Ok(Vec::new()));
        assert_eq!(state.entries, BTreeMap::from([(K, b"two".to_vec()), (L, Vec::new())]));
        assert_eq!(run(&mut state, delete(&K)), Ok(Vec::new()));
        assert_eq!(run(&mut state, delete(&K)), Ok(Vec::new()));
        assert_eq!(state.entries, BTreeMap::from([(L, Vec::new())]));
        assert_eq!(state.reads, 0);
    }

    #[test]
    fn add_counts_from_zero_up_to_the_edges_and_not_past_them() {
        let mut state = Map::default();
        let value = |result: Result<Vec<u8>, _>| result.ok().and_then(|output| add_output(&output));
        assert_eq!(value(run(&mut state, add(&K, 5))), Some(5));
        assert_eq!(value(run(&mut state, add(&K, -7))), Some(-2));
        assert_eq!(state.entries[&K], (-2i64).to_le_bytes());
        assert_eq!(value(run(&mut state, add(&L, i64::MAX))), Some(i64::MAX));
        assert!(is_rejected(&run(&mut state, add(&L, 1))));
        assert_eq!(state.entries[&L], i64::MAX.to_le_bytes());
        assert_eq!(value(run(&mut state, add(&L, i64::MIN))), Some(-1));
        assert_eq!(value(run(&mut state, add(&L, i64::MIN + 1))), Some(i64::MIN));
        assert!(is_rejected(&run(&mut state, add(&L, -1))));
    }

    #[test]
    fn add_wants_a_counter_of_eight_bytes() {
        for wrong in [0, 7, 9] {
            let mut state = Map::default();
            state.entries.insert(K, vec![0; wrong]);
            assert!(is_rejected(&run(&mut state, add(&K, 1))), "{wrong} bytes");
            assert_eq!(state.entries[&K].len(), wrong);
        }
    }

    #[test]
    fn compare_and_set_changes_only_what_is_expected() {
        let mut state = Map::default();
        let some = |text: &[u8]| Some(text.to_vec());
        assert!(
            is_rejected(&run(&mut state, compare_and_set(&K, some(b""), some(b"x")))),
            "absent is not empty"
        );
        assert_eq!(run(&mut state, compare_and_set(&K, None, some(b"x"))), Ok(Vec::new()));
        assert!(is_rejected(&run(&mut state, compare_and_set(&K, None, some(b"y")))));
        assert!(is_rejected(&run(&mut state, compare_and_set(&K, some(b"y"), None))));
        assert_eq!(state.entries[&K], b"x");
        assert_eq!(run(&mut state, compare_and_set(&K, some(b"x"), None)), Ok(Vec::new()));
        assert_eq!(run(&mut state, compare_and_set(&K, None, None)), Ok(Vec::new()));
        assert!(state.entries.is_empty());
    }

    #[test]
    fn values_end_at_the_limit() {
        let mut state = Map::default();
        let full = vec![7; limits::VALUE];
        let over = vec![7; limits::VALUE + 1];
        assert!(run(&mut state, put(&K, full.clone())).is_ok());
        assert!(is_rejected(&run(&mut state, put(&K, over.clone()))));
        assert!(run(&mut state, compare_and_set(&L, None, Some(full.clone()))).is_ok());
        assert!(is_rejected(&run(&mut state, compare_and_set(&StateKey::default(), None, Some(over)))));
        assert!(is_rejected(&run(&mut state, append(&K, b"x"))));
        assert!(run(&mut state, append(&K, b"")).is_ok());
        assert!(run(&mut state, put(&K, vec![7; limits::VALUE - 1])).is_ok());
        assert!(run(&mut state, append(&K, [7])).is_ok());
        assert_eq!(state.entries[&K], full);
    }

    #[test]
    fn append_begins_with_nothing() {
        let mut state = Map::default();
        assert_eq!(run(&mut state, append(&K, b"ab")), Ok(Vec::new()));
        assert_eq!(run(&mut state, append(&K, b"c")), Ok(Vec::new()));
        assert_eq!(state.entries[&K], b"abc");
    }

    #[test]
    fn a_batch_sees_its_own_writes_and_gives_all_outputs() {
        let mut state = Map::default();
        let output = run(
            &mut state,
            batch(vec![
                Operation::Add(Add { key: K, delta: 1 }),
                Operation::Add(Add { key: K, delta: 2 }),
                Operation::Put(Put { key: L, value: b"x".to_vec() }),
                Operation::CompareAndSet(CompareAndSet {
                    key: L,
                    expected: Some(b"x".to_vec()),
                    value: None,
                }),
                Operation::Append(Append { key: L, bytes: b"y".to_vec() }),
                Operation::Delete(Delete { key: K }),
            ]),
        );
        let outputs = output.ok().and_then(|output| batch_output(&output)).unwrap();
        assert_eq!(outputs[0], 1i64.to_le_bytes());
        assert_eq!(outputs[1], 3i64.to_le_bytes());
        assert!(outputs[2..].iter().all(Vec::is_empty));
        assert_eq!(outputs.len(), 6);
        assert_eq!(state.entries, BTreeMap::from([(L, b"y".to_vec())]));
    }

    #[test]
    fn a_batch_is_rejected_with_any_of_its_operations() {
        let mut state = Map::default();
        let operations = vec![
            Operation::Put(Put { key: K, value: b"x".to_vec() }),
            Operation::Add(Add { key: K, delta: 2 }),
        ];
        assert!(is_rejected(&run(&mut state, batch(operations))));
    }

    #[test]
    fn a_batch_ends_at_its_limit() {
        let operations = |count| vec![Operation::Delete(Delete { key: K }); count];
        assert!(run(&mut Map::default(), batch(Vec::new())).is_ok());
        assert!(run(&mut Map::default(), batch(operations(BATCH))).is_ok());
        assert!(is_rejected(&run(&mut Map::default(), batch(operations(BATCH + 1)))));
    }

    #[test]
    fn what_does_not_decode_is_rejected() {
        for method in ["put", "delete", "add", "compare_and_set", "append", "batch"] {
            let state = &mut Map::default();
            assert!(is_rejected(&run(state, (method, Vec::new()))), "{method}: nothing");
            assert!(is_rejected(&run(state, (method, vec![0xff; 50]))), "{method}: rubbish");
        }
        let state = &mut Map::default();
        let (method, mut arguments) = add(&K, 1);
        arguments.push(0);
        assert!(is_rejected(&run(state, (method, arguments))), "bytes too many");
        assert!(is_rejected(&run(state, ("get", get(&K).1))), "a query is no call");
        assert!(is_rejected(&run(state, ("", Vec::new()))));
        let huge = u32::MAX.to_le_bytes().to_vec();
        assert!(is_rejected(&run(state, ("batch", huge))), "a length that is not there");
    }

    #[test]
    fn get_tells_absent_from_empty() {
        let mut state = Map::default();
        let query = |state: &mut Map, key| {
            let (method, arguments) = get(key);
            get_output(&KeyValue.query(method, &arguments, state).unwrap()).unwrap()
        };
        assert_eq!(query(&mut state, &K), None);
        state.entries.insert(K, Vec::new());
        assert_eq!(query(&mut state, &K), Some(Vec::new()));
        assert!(KeyValue.query("put", &[], &mut state).is_err());
        assert!(KeyValue.query("get", &[], &mut state).is_err());
    }
}
