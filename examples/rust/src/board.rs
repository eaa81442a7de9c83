//! An application of the host's own: a board of 8 x 8 cells on which members place pieces and move them. Every member's node executes
//! every move, and all of them come to the same board: the same application is there in Python and in C.

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::replica::{MemberId, StateKey};

const SIZE: u8 = 8;
const PIECES: usize = 8;

/// The application.
#[derive(Clone, Copy, Debug, Default)]
pub struct Board;

type Outcome<T> = Result<T, ApplicationError>;

fn reject<T>(why: &str) -> Outcome<T> {
    Err(ApplicationError::Rejected(why.into()))
}

/// Where a cell's piece is kept: the member that it belongs to.
#[must_use]
pub fn cell(x: u8, y: u8) -> StateKey {
    StateKey::of("board", &format!("{x},{y}"))
}

fn score_of(member: &[u8]) -> StateKey {
    StateKey::of("moves", &crate::hex(member))
}

fn pieces(state: &mut dyn State) -> Outcome<Vec<Vec<u8>>> {
    let all = usize::from(SIZE) * usize::from(SIZE);
    let page = state.entries(&StateKey::collection("board"), None, all)?;
    Ok(page.into_iter().map(|(_, owner)| owner).collect())
}

fn score(state: &mut dyn State, member: &[u8]) -> Outcome<u64> {
    let kept = state.get(&score_of(member))?.unwrap_or_default();
    Ok(kept.try_into().map_or(0, u64::from_le_bytes))
}

fn place(state: &mut dyn State, me: &MemberId, arguments: &[u8]) -> Outcome<Vec<u8>> {
    let &[x, y] = arguments else { return reject("arguments") };
    if x >= SIZE || y >= SIZE {
        return reject("off the board");
    }
    if state.get(&cell(x, y))?.is_some() {
        return reject("occupied");
    }
    let own = pieces(state)?.iter().filter(|owner| **owner == me.0).count();
    if own >= PIECES {
        return reject("too many pieces");
    }
    state.put(&cell(x, y), &me.0)?;
    Ok(vec![own as u8 + 1])
}

fn go(state: &mut dyn State, me: &MemberId, arguments: &[u8]) -> Outcome<Vec<u8>> {
    let &[x1, y1, x2, y2] = arguments else { return reject("arguments") };
    if [x1, y1, x2, y2].iter().any(|at| *at >= SIZE) {
        return reject("off the board");
    }
    let (from, to) = (cell(x1, y1), cell(x2, y2));
    if state.get(&from)?.as_deref() != Some(&me.0) {
        return reject("not yours");
    }
    if state.get(&to)?.as_deref() == Some(&me.0) {
        return reject("occupied");
    }
    if x1.abs_diff(x2).max(y1.abs_diff(y2)) != 1 {
        return reject("too far");
    }
    state.delete(&from)?;
    state.put(&to, &me.0)?;
    let score = score(state, &me.0)?.wrapping_add(1).to_le_bytes();
    state.put(&score_of(&me.0), &score)?;
    state.emit("moved", arguments)?;
    Ok(score.to_vec())
}

impl Application for Board {
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Outcome<Vec<u8>> {
        match call.method {
            "place" => place(state, &call.member, call.arguments),
            "move" => go(state, &call.member, call.arguments),
            "fault" => reject("on purpose"),
            _ => reject("unknown method"),
        }
    }

    fn query(&self, method: &str, arguments: &[u8], state: &mut dyn State) -> Outcome<Vec<u8>> {
        match method {
            "count" => Ok((pieces(state)?.len() as u32).to_le_bytes().to_vec()),
            "score" if arguments.len() != 32 => reject("arguments"),
            "score" => Ok(score(state, arguments)?.to_le_bytes().to_vec()),
            _ => reject("unknown method"),
        }
    }
}
