//! A whole history once more, ten times, forwards and backwards, to a member with its keys: nothing is carried out again, and not one row is written.

use std::collections::BTreeSet;

use kith_core::application::kv::KeyValue;
use kith_core::encryption::Suite;
use kith_core::node::machine::{Wish, receive, shown};
use kith_core::replica::{MemberId, Step, Table, Tip, Transaction, TransactionId, Verdict};

use crate::pair::{Member, Pair, put};

/// All that one has, ancestors first: as it is kept, and as it goes to somebody.
fn all(member: &Member, to: &MemberId) -> [Vec<Transaction>; 2] {
    member.with_tables(|replica, tables| {
        let start = Tip { sequence: 0, id: TransactionId::default() };
        let chains = replica.tips().map(|(author, _)| replica.chain(tables, author, start, 1000).unwrap());
        let mut kept: Vec<Transaction> = chains.flatten().map(|(_, transaction)| transaction).collect();
        kept.sort_by_key(|transaction| transaction.header.lamport);
        let sent = kept.iter().map(|kept| shown(replica, tables, to, kept.clone()).unwrap().unwrap());
        let sent = sent.collect();
        [kept, sent]
    })
}

fn keys(step: &Step) -> usize {
    step.writes.iter().filter(|(table, ..)| *table == Table::Keys).count()
}

#[test]
fn a_history_that_comes_again_ten_times_writes_nothing() {
    for suite in [0, Suite::X25519 as u8] {
        let sealed = suite != 0;
        let mut pair = Pair::new(suite, false);
        for number in 0..6 {
            pair.done(usize::from(number % 2 == 1), put(number));
        }
        if sealed {
            pair.done(1, Wish::RotateKeys);
        }
        pair.done(1, put(6));
        let before = pair.members[1].disk.inner.fork();
        if sealed {
            pair.done(0, Wish::RotateKeys);
        }
        let new = [7, 8].map(|number| pair.done(0, put(number)).unwrap());
        for member in &pair.members {
            let me = member.me();
            let forms = all(member, &me);
            let opened = |form: &[Transaction]| form.iter().filter(|one| one.is_opened()).count();
            let [kept, sent] = forms.each_ref().map(|form| opened(form));
            assert_eq!((forms[0].len(), sent + 9 * usize::from(sealed)), (kept, kept), "both forms");
            member.on(&member.disk.inner, |replica, tables| {
                let (digest, commitment) = (replica.digest(), replica.commitment());
                for mut form in forms {
                    assert!(form.len() > 10, "{}", form.len());
                    for _ in 0..10 {
                        form.reverse();
                        let step = receive(me, replica, tables, &form, &KeyValue).unwrap();
                        assert!(step.verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Known));
                        assert_eq!(step.writes, []);
                        assert!(step.executed.is_empty() && step.admitted.is_empty());
                    }
                }
                assert_eq!((replica.digest(), replica.commitment()), (digest, commitment));
            });
            // Each call was told of once.
            let executed = member.executed();
            let once: BTreeSet<TransactionId> = executed.iter().copied().collect();
            assert_eq!((executed.len(), once.len()), (9, 9));
        }
        // The control: the member as it was before the founder's last calls, which are signed one by one, takes them, writes them down and with them the
        // rows of their keys; without its keys it writes none of these.
        let [founder, member] = &pair.members;
        let [_, mut sent] = all(founder, &member.me());
        sent.retain(|transaction| transaction.header.author == founder.me());
        member.on(&before, |replica, tables| {
            let step = receive(member.me(), replica, tables, &sent, &KeyValue).unwrap();
            assert!(new.iter().all(|id| step.admitted.contains(id)), "{:?}", step.verdicts);
            assert_eq!((keys(&step) > 0, replica.unopened()), (sealed, 0));
        });
        member.on(&before, |replica, tables| {
            let step = replica.receive(tables, &sent, Some(&KeyValue)).unwrap();
            assert!(new.iter().all(|id| step.admitted.contains(id)), "{:?}", step.verdicts);
            assert_eq!((keys(&step), replica.unopened()), (0, 2 * u64::from(sealed)));
        });
    }
}
