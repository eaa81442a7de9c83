//! Why a session with a member's node is over, as the host is told: a word that stays the same, and after a colon, for people, what exactly.

use std::fmt::Display;

use crate::sync::{Ended, Failure};
use crate::{Error, ErrorKind};

/// The word. All of them stand at [`super::Event::PeerDisconnected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    Closed,
    Gone,
    Refused,
    Misbehaved,
    Version,
    Limit,
    Timeout,
}

impl Parting {
    const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Misbehaved => "misbehaved",
            Self::Version => "version",
            Self::Limit => "limit",
            Self::Timeout => "timeout",
        }
    }

    pub(crate) fn because(self, what: impl Display) -> String {
        format!("{}: {what}", self.word())
    }
}

/// What a session itself says at its end.
pub(crate) fn of_session(ended: Ended) -> String {
    match ended {
        Ended::Refused(refusal) => Parting::Refused.because(refusal),
        Ended::RefusedByPeer(refusal) => Parting::Refused.because(format_args!("by the peer: {refusal}")),
        Ended::Failed(failure) => {
            let word = match failure {
                Failure::Garbage | Failure::Protocol | Failure::Proof | Failure::BadTransaction => {
                    Parting::Misbehaved
                }
                Failure::Version => Parting::Version,
                Failure::Flood => Parting::Limit,
                Failure::Timeout | Failure::Stalled | Failure::CannotDeliver => Parting::Timeout,
            };
            word.because(failure)
        }
    }
}

/// What follows from the end of a link. What the peer says of this side, and that it went for good reasons, is all the same here.
pub(crate) fn of_link(fault: bool, reason: &Error) -> (Parting, String) {
    let word = match reason.kind() {
        ErrorKind::InvalidArgument if fault => Parting::Misbehaved,
        ErrorKind::LimitExceeded if fault => Parting::Limit,
        ErrorKind::Timeout if fault => Parting::Timeout,
        _ => Parting::Gone,
    };
    (word, word.because(reason.message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Refusal;

    #[test]
    fn each_end_of_a_session_has_its_word_and_says_what_it_was() {
        let failed = |failure| of_session(Ended::Failed(failure));
        for (failure, word) in [
            (Failure::Garbage, "misbehaved"),
            (Failure::Protocol, "misbehaved"),
            (Failure::Proof, "misbehaved"),
            (Failure::BadTransaction, "misbehaved"),
            (Failure::Version, "version"),
            (Failure::Flood, "limit"),
            (Failure::Timeout, "timeout"),
            (Failure::Stalled, "timeout"),
            (Failure::CannotDeliver, "timeout"),
        ] {
            assert_eq!(failed(failure), format!("{word}: {failure}"));
        }
        let refused = of_session(Ended::Refused(Refusal::Removed));
        assert_eq!(refused, "refused: the member was removed");
        let refused = of_session(Ended::RefusedByPeer(Refusal::Removed));
        assert_eq!(refused, "refused: by the peer: the member was removed");
    }

    #[test]
    fn a_peer_is_blamed_only_for_what_this_side_has_seen() {
        for (kind, word) in [
            (ErrorKind::InvalidArgument, "misbehaved"),
            (ErrorKind::LimitExceeded, "limit"),
            (ErrorKind::Timeout, "timeout"),
            (ErrorKind::Closed, "gone"),
            (ErrorKind::Unreachable, "gone"),
        ] {
            let reason = Error::new(kind, "so it was");
            assert_eq!(of_link(true, &reason).1, format!("{word}: so it was"));
            assert_eq!(of_link(false, &reason), (Parting::Gone, "gone: so it was".to_string()));
        }
    }
}
