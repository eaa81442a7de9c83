//! What the generated histories were like: printed, and with floors, so that a property cannot come to hold because nothing
//! happens any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use kith_core::replica::{Payload, Rejection};

use super::deliver::Passage;
use super::oracle::{Oracle, Verdict};

#[derive(Default)]
pub struct Tally {
    cases: usize,
    transactions: usize,
    /// In how many cases something happened.
    seen: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub fn count(&mut self, oracle: &Oracle, passages: &[Passage]) {
        self.cases += 1;
        self.transactions += oracle.order.len();
        let mut seen: BTreeSet<&'static str> = BTreeSet::new();
        for receipt in oracle.receipts.values() {
            if let Err(rejection) = &receipt.outcome {
                seen.insert(name(rejection));
            }
        }
        for known in oracle.history.values() {
            let accepted = oracle.receipts[&known.id].accepted();
            let governs = super::words::governs(known.kind());
            if governs && !accepted {
                seen.insert("governing transaction rejected");
            }
            let twin = |other: &&super::oracle::Known| {
                other.id != known.id
                    && other.author() == known.author()
                    && other.transaction.header.sequence == known.transaction.header.sequence
            };
            if oracle.history.values().find(twin).is_some() {
                seen.insert("equivocation");
            }
            match &known.payload {
                Some(Payload::Fork(_)) if accepted => {
                    seen.insert("fork proved");
                }
                Some(Payload::Skip(_)) if accepted => {
                    seen.insert("call skipped");
                }
                Some(Payload::Remove(remove)) => {
                    if self::duel(oracle, known, remove) {
                        seen.insert("duel");
                    }
                    let cut_before = |other: &super::oracle::Known| {
                        other.author() == remove.member
                            && other.place() < known.place()
                            && oracle.rejection(&other.id) == Some(&Rejection::Cut)
                    };
                    if accepted && oracle.history.values().any(cut_before) {
                        seen.insert("removal cut what sorts before it");
                    }
                }
                Some(Payload::Add(add)) => {
                    if accepted && add.redeemed.is_some() {
                        seen.insert("joined by invitation");
                    }
                    if !accepted && revoked_by_what_sorts_later(oracle, known) {
                        seen.insert("backdated redemption of a revoked invitation");
                    }
                }
                _ => {}
            }
        }
        let made_by_succession = oracle.governance.members.values().flat_map(|m| &m.made).any(|made| {
            !matches!(
                &oracle.history[made].payload,
                Some(Payload::Genesis(_) | Payload::Add(_) | Payload::SetRole(_))
            )
        });
        let happened = [
            ("succession", made_by_succession),
            ("three rounds of judging or more", oracle.rounds >= 4),
            ("no member left", oracle.governance.members.is_empty()),
            ("invalid transaction", oracle.verdicts.values().any(|v| matches!(v, Verdict::Invalid(_)))),
            ("missing for ever", oracle.verdicts.values().any(|v| *v == Verdict::NotYet)),
            ("late arrival", passages.iter().any(|p| p.reordered > 0)),
            ("late arrival caused a re-run", passages.iter().any(|p| p.executed_again > 0)),
            ("late arrival changed a receipt", passages.iter().any(|p| p.receipts_changed > 0)),
            ("waited for a parent", passages.iter().any(|p| p.waited > 0)),
            ("reopened", passages.iter().any(|p| p.reopened > 0)),
            ("sealed", oracle.history.values().any(|known| known.transaction.header.is_sealed())),
            ("opened late", passages.iter().any(|p| p.opened_late > 0)),
            ("opening late changed a receipt", passages.iter().any(|p| p.opening_changed_a_receipt > 0)),
        ];
        seen.extend(happened.iter().filter(|(_, happened)| *happened).map(|(what, _)| *what));
        for what in seen {
            *self.seen.entry(what).or_default() += 1;
        }
    }

    /// Prints the distribution.
    pub fn print(&self, title: &str) {
        // Past the test runner, which shows what `println!` says of failures only.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{title}: {} cases, {} transactions", self.cases, self.transactions);
        for (what, count) in &self.seen {
            let _ = writeln!(out, "  {:5.1} %  {what}", *count as f64 * 100.0 / self.cases.max(1) as f64);
        }
    }

    /// Fails if something happened in less than so many of a thousand cases. Few cases say nothing about rare things.
    pub fn is_above(&self, title: &str, floors: &[(&'static str, usize)]) {
        for (what, floor) in floors {
            let count = self.seen.get(what).copied().unwrap_or(0);
            assert!(
                self.cases < 1000 || count * 1000 >= floor * self.cases,
                "{title}: `{what}` in {count} of {} cases; the floor is {floor} of 1,000",
                self.cases
            );
        }
    }
}

/// Whether somebody who is removed by this one removes its author, neither knowing of the other's word.
fn duel(oracle: &Oracle, one: &super::oracle::Known, remove: &kith_core::replica::payload::Remove) -> bool {
    remove.member != one.author()
        && oracle.receipts[&one.id].accepted()
        && oracle.history.values().any(|other| {
            let back = matches!(&other.payload, Some(Payload::Remove(r)) if r.member == one.author());
            back && other.author() == remove.member && !other.has_seen(&one.id) && !one.has_seen(&other.id)
        })
}

/// Whether an `Add` was rejected by a revocation that it sorts before.
fn revoked_by_what_sorts_later(oracle: &Oracle, add: &super::oracle::Known) -> bool {
    oracle.rejection(&add.id) == Some(&Rejection::InvitationRevoked)
        && oracle.decided.iter().any(|id| {
            let revocation = &oracle.history[id];
            matches!(revocation.payload, Some(Payload::RevokeInvite(_))) && revocation.place() > add.place()
        })
}

fn name(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NotMember => "rejected: not member",
        Rejection::NotPermitted => "rejected: not permitted",
        Rejection::Cut => "rejected: cut",
        Rejection::NotInForce => "rejected: not in force",
        Rejection::UnknownMember => "rejected: unknown member",
        Rejection::NotSenior => "rejected: not senior",
        Rejection::InvitationInvalid => "rejected: invitation invalid",
        Rejection::InvitationRevoked => "rejected: invitation revoked",
        Rejection::InvitationUsed => "rejected: invitation used",
        Rejection::AlreadyMember => "rejected: already member",
        Rejection::RemovedKey => "rejected: removed key",
        Rejection::Full => "rejected: full",
        Rejection::Skipped => "rejected: skipped",
        Rejection::Limit(_) => "rejected: limit",
        Rejection::Application(_) => "rejected: application",
        _ => "rejected: otherwise",
    }
}
