//! An application that reads in every way there is: the key-value application, and beside it ranges, messages, the caller's
//! role, and misbehaviour that is the same everywhere.

use borsh::{BorshDeserialize, BorshSerialize};
use kith_core::application::kv::KeyValue;
use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::replica::StateKey;

/// Reads a range and writes a digest of it under `into`.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Digest {
    pub prefix: Vec<u8>,
    pub after: Option<StateKey>,
    pub limit: u32,
    pub into: StateKey,
}

pub struct Probe;

impl Application for Probe {
    fn initialise(&self, arguments: &[u8], state: &mut dyn State) -> Result<(), ApplicationError> {
        if arguments.is_empty() {
            return Ok(());
        }
        state.put(&StateKey([0xee; 32]), arguments)
    }

    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        match call.method {
            "digest" => {
                let Digest { prefix, after, limit, into } = borsh::from_slice(call.arguments)
                    .map_err(|error| ApplicationError::Rejected(error.to_string()))?;
                let mut hasher = blake3::Hasher::new();
                let mut count = 0u64;
                for (key, value) in state.entries(&prefix, after.as_ref(), limit as usize)? {
                    hasher.update(&key.0).update(&(value.len() as u64).to_le_bytes()).update(&value);
                    count += 1;
                }
                let digest = hasher.finalize().as_bytes()[..8].to_vec();
                state.put(&into, &digest)?;
                state.emit("count", &count.to_le_bytes())?;
                Ok(digest)
            }
            "whoami" => {
                state.emit("role", &[call.role as u8])?;
                let mut answer = call.member.0.to_vec();
                answer.extend(call.transaction.0);
                answer.extend(call.timestamp.to_le_bytes());
                answer.push(call.role as u8);
                Ok(answer)
            }
            "strain" => {
                let Strain { what, amount } = borsh::from_slice(call.arguments)
                    .map_err(|error| ApplicationError::Rejected(error.to_string()))?;
                strain(what, amount as usize, state)
            }
            "swallow" => {
                state.put(&numbered(0), b"x")?;
                let too_large = vec![0; (1 << 20) + 1];
                let refused = state.put(&numbered(1), &too_large).is_err();
                Ok(vec![u8::from(refused)])
            }
            "clear" => loop {
                let page = state.entries(call.arguments, None, 2)?;
                if page.is_empty() {
                    return Ok(Vec::new());
                }
                for (key, _) in page {
                    state.delete(&key)?;
                }
            },
            "own_large_page" => {
                let mut key = [0; 32];
                key[0] = call.arguments.first().copied().unwrap_or_default();
                state.put(&StateKey(key), &vec![2; 1 << 20])?;
                let page = state.entries(call.arguments, None, 10)?;
                state.emit("count", &(page.len() as u64).to_le_bytes())?;
                Ok(Vec::new())
            }
            "write_then_refuse" => {
                state.put(&StateKey([0xdd; 32]), b"never")?;
                state.emit("never", b"")?;
                Err(ApplicationError::Rejected("as asked".into()))
            }
            _ => KeyValue.execute(call, state),
        }
    }
}

pub fn digest(prefix: &[u8], after: Option<StateKey>, limit: u32, into: StateKey) -> (&'static str, Vec<u8>) {
    let arguments = Digest { prefix: prefix.to_vec(), after, limit, into };
    ("digest", borsh::to_vec(&arguments).unwrap())
}

/// What a call does too much of.
#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub enum Much {
    /// So many distinct keys, each written twice.
    KeysWritten,
    /// A value of so many bytes.
    Value,
    /// So many bytes in all, in values of 1 MiB, the last one smaller.
    BytesWritten,
    /// So many distinct keys.
    KeysRead,
    /// An answer of so many bytes.
    Output,
    /// A message without a name of so many bytes.
    Emitted,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Strain {
    what: Much,
    amount: u32,
}

pub fn strain_call(what: Much, amount: usize) -> (&'static str, Vec<u8>) {
    ("strain", borsh::to_vec(&Strain { what, amount: u32::try_from(amount).unwrap() }).unwrap())
}

fn numbered(number: usize) -> StateKey {
    let mut key = [0xcc; 32];
    key[24..].copy_from_slice(&(number as u64).to_be_bytes());
    StateKey(key)
}

fn strain(what: Much, amount: usize, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
    match what {
        Much::KeysWritten => {
            for number in (0..amount).chain(0..amount) {
                state.put(&numbered(number), b"")?;
            }
        }
        Much::Value => state.put(&numbered(0), &vec![0; amount])?,
        Much::BytesWritten => {
            for (number, from) in (0..amount).step_by(1 << 20).enumerate() {
                state.put(&numbered(number), &vec![0; (amount - from).min(1 << 20)])?;
            }
        }
        Much::KeysRead => {
            for number in 0..amount {
                state.get(&numbered(number))?;
            }
        }
        Much::Output => return Ok(vec![0; amount]),
        Much::Emitted => state.emit("", &vec![0; amount])?,
    }
    Ok(Vec::new())
}
