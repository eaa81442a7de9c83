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
