//! Writing transactions of one's own: after everything that is known, executed before they are published.

use ed25519_dalek::SigningKey;

use super::acts::{Act, What};
use super::chains::StoredChains;
use super::engine::{Blocked, Replica, Step};
use super::execution::{Executed, StateAt};
use super::governance::Governance;
use super::history::Head;
use super::payload::{CallPayload, Genesis, KeyPackage, Payload, Policy, Tip};
use super::receipt::{Place, Rejection};
use super::sealed::Keyring;
use super::state_read::StateRead;
use super::tables;
use super::transaction::{Draft, Kind, Parent, Transaction};
use super::view::View;
use super::{ContextId, MemberId, Role, TransactionId};
use crate::application::{Application, Call, guarded};
use crate::{Error, ErrorKind, Result, limits};

/// What signing takes from outside: the key, the clock, and randomness for the commitments.
pub struct Signer<'a> {
    /// The member's key in this context.
    pub key: &'a SigningKey,
    /// ms since 1970.
    pub timestamp: u64,
    /// 32 fresh random bytes at each call.
    pub random: &'a mut dyn FnMut() -> [u8; 32],
}

impl std::fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("member", &self.member()).finish_non_exhaustive()
    }
}

impl Signer<'_> {
    /// Whose key it is.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId(self.key.verifying_key().to_bytes())
    }
}

/// What a new context is.
#[derive(Clone, Debug, Default)]
pub struct Creation {
    /// The application that executes the calls.
    pub application: String,
    /// What the application is set up with.
    pub arguments: Vec<u8>,
    /// What the context is called, for people.
    pub name: String,
    /// 0: payloads are not sealed.
    pub suite: u8,
    /// The creator's first keys, of that suite.
    pub key_package: KeyPackage,
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        let kind = match rejection {
            Rejection::NotMember | Rejection::UnknownMember => ErrorKind::NotMember,
            Rejection::NotPermitted | Rejection::Cut | Rejection::NotSenior | Rejection::RemovedKey => {
                ErrorKind::PermissionDenied
            }
            Rejection::InvitationInvalid => ErrorKind::InvitationInvalid,
            Rejection::InvitationRevoked => ErrorKind::InvitationRevoked,
            Rejection::InvitationUsed => ErrorKind::InvitationUsed,
            Rejection::AlreadyMember | Rejection::NotInForce => ErrorKind::InvalidArgument,
            Rejection::Full | Rejection::Limit(_) => ErrorKind::LimitExceeded,
            Rejection::Skipped | Rejection::Application(_) => ErrorKind::Rejected,
        };
        let message = match rejection {
            Rejection::Application(text) | Rejection::Limit(text) => text,
            other => other.to_string(),
        };
        Self::new(kind, message)
    }
}

impl Replica {
    /// Starts a context: the caller is its first member and admin.
    pub fn create(
        signer: &mut Signer<'_>,
        creation: Creation,
        tables: &dyn StateRead,
        application: &dyn Application,
    ) -> Result<(Self, Transaction, Step)> {
        let payload = Payload::Genesis(Genesis {
            format: 1,
            random: (signer.random)(),
            application: creation.application,
            arguments: creation.arguments,
            name: creation.name,
            access_key: (signer.random)(),
            suite: creation.suite,
            policy: Policy::default(),
            key_package: creation.key_package,
        });
        let plaintext = payload.encode();
        if Payload::decode(Kind::Genesis as u8, &plaintext).as_ref() != Some(&payload) {
            return Err(Error::new(ErrorKind::LimitExceeded, "a name or the arguments are too long"));
        }
        let transaction = Draft {
            context: ContextId::default(),
            sequence: 1,
            previous: TransactionId::default(),
            parents: Vec::new(),
            lamport: 1,
            timestamp: signer.timestamp,
            kind: Kind::Genesis,
            plaintext,
            commitment_key: (signer.random)(),
        }
        .sign(signer.key);
        let mut replica = Self::open(transaction.header.belongs_to(), tables)?;
        let step = replica.receive(tables, std::slice::from_ref(&transaction), Some(application))?;
        if let Some(Blocked::Fault(_, cause)) = step.blocked {
            return Err(Error::blocked(cause));
        }
        match step.executed.first().map(|outcome| outcome.receipt.outcome.clone()) {
            Some(Err(rejection)) => Err(rejection.into()),
            _ => Ok((replica, transaction, step)),
        }
    }

    /// Writes a transaction after everything that is known. Gives what is to be published (first the notes that it took to name all
    /// heads, then the transaction itself). What would be rejected is not written: the caller gets the error, and nothing has changed.
    pub fn author(
        &mut self,
        signer: &mut Signer<'_>,
        payload: Payload,
        tables: &dyn StateRead,
        application: Option<&dyn Application>,
    ) -> Result<(Vec<Transaction>, Step)> {
        self.author_with(signer, payload, tables, application, None)
    }

    /// The same, with the keys that calls are sealed with where they are.
    pub(crate) fn author_with(
        &mut self,
        signer: &mut Signer<'_>,
        payload: Payload,
        tables: &dyn StateRead,
        application: Option<&dyn Application>,
        mut keyring: Option<&mut dyn Keyring>,
    ) -> Result<(Vec<Transaction>, Step)> {
        let plaintext = payload.encode();
        if Payload::decode(payload.kind() as u8, &plaintext).as_ref() != Some(&payload) {
            return Err(too_large(&payload));
        }
        let mut view = View::new(tables);
        let sealer = keyring.as_deref_mut().map(|keyring| keyring as &mut dyn Keyring);
        let drafts = self.draft(&view, signer, payload.kind(), plaintext, sealer)?;
        let last = drafts.last().ok_or_else(|| Error::internal("nothing was drafted"))?;
        let prepared = match &payload {
            Payload::Call(call) => Some(self.rehearse(&view, last, call, application)?),
            Payload::Epoch(_) | Payload::RefreshKey(_) if self.suite() == 0 => {
                return Err(Error::unsupported("payloads of this context are not sealed"));
            }
            Payload::Note | Payload::Epoch(_) | Payload::RefreshKey(_) => {
                let member = self.governance.members.contains_key(&signer.member());
                if !member {
                    return Err(Rejection::NotMember.into());
                }
                None
            }
            _ => {
                self.foresee(&view, last, &payload)?;
                None
            }
        };
        let mut step = Step::default();
        for transaction in &drafts {
            let before = self.core.last;
            let keyring = keyring.as_deref_mut().map(|keyring| keyring as &mut dyn Keyring);
            self.let_in(&mut view, transaction, before, &mut step, keyring)?;
        }
        if let Some((_, verdict)) =
            step.verdicts.iter().find(|(_, verdict)| *verdict != super::Verdict::Valid)
        {
            return Err(Error::internal(format!("an own transaction is not valid: {verdict:?}")));
        }
        let step = self.settle(view, step, prepared, application)?;
        Ok((drafts, step))
    }

    /// The transaction, and before it the notes that name those heads which it cannot name itself.
    fn draft(
        &self,
        view: &View<'_>,
        signer: &mut Signer<'_>,
        kind: Kind,
        plaintext: Vec<u8>,
        keyring: Option<&mut dyn Keyring>,
    ) -> Result<Vec<Transaction>> {
        let me = signer.member();
        let mut own: Option<(Tip, u64)> = self.own_tip(view, &me)?;
        let mut heads: Vec<&Head> = self.core.heads.iter().filter(|head| head.author != me).collect();
        // Membership first, then the newest.
        heads.sort_by_key(|head| (!head.governs, std::cmp::Reverse(head.lamport)));
        let mut drafts = Vec::new();
        if own.is_none() {
            let add =
                self.admission_of(&me).ok_or_else(|| Error::not_member("not admitted to this context"))?;
            let parents = vec![Parent { author: add.0.author, sequence: add.0.sequence, id: add.0.id }];
            let note = self.sign(signer, None, parents, add.1, Kind::Note, Vec::new());
            heads.retain(|head| head.id != add.0.id);
            own = Some((Tip { sequence: 1, id: note.header.id() }, note.header.lamport));
            drafts.push(note);
        }
        loop {
            let (named, rest) = nameable(heads);
            heads = rest;
            let greatest = named.iter().map(|head| head.lamport).max().unwrap_or(0);
            let lamport = greatest.max(own.map_or(0, |(_, lamport)| lamport));
            let parents = named
                .iter()
                .map(|head| Parent { author: head.author, sequence: head.sequence, id: head.id })
                .collect();
            if heads.is_empty() {
                drafts.push(match keyring.filter(|_| kind == Kind::Call && self.suite() != 0) {
                    None => self.sign(signer, own, parents, lamport, kind, plaintext),
                    Some(keyring) => {
                        let draft = self.unsigned(signer, own, parents, lamport, kind, Vec::new());
                        keyring.seal(view, draft.header(signer.key), &plaintext, signer.key)?
                    }
                });
                return Ok(drafts);
            }
            let note = self.sign(signer, own, parents, lamport, Kind::Note, Vec::new());
            own = Some((Tip { sequence: note.header.sequence, id: note.header.id() }, note.header.lamport));
            drafts.push(note);
        }
    }

    fn sign(
        &self,
        signer: &mut Signer<'_>,
        own: Option<(Tip, u64)>,
        parents: Vec<Parent>,
        greatest: u64,
        kind: Kind,
        plaintext: Vec<u8>,
    ) -> Transaction {
        self.unsigned(signer, own, parents, greatest, kind, plaintext).sign(signer.key)
    }

    fn unsigned(
        &self,
        signer: &mut Signer<'_>,
        own: Option<(Tip, u64)>,
        parents: Vec<Parent>,
        greatest: u64,
        kind: Kind,
        plaintext: Vec<u8>,
    ) -> Draft {
        Draft {
            context: self.context,
            sequence: own.map_or(1, |(tip, _)| tip.sequence + 1),
            previous: own.map_or(TransactionId::default(), |(tip, _)| tip.id),
            parents,
            lamport: greatest + 1,
            timestamp: signer.timestamp,
            kind,
            plaintext,
            commitment_key: (signer.random)(),
        }
    }

    /// The end of one's own chain and its lamport number.
    fn own_tip(&self, view: &View<'_>, me: &MemberId) -> Result<Option<(Tip, u64)>> {
        let Some(tips) = self.tips.get(me) else { return Ok(None) };
        let (Some(tip), 1) = (tips.first(), tips.len()) else {
            return Err(Error::new(
                ErrorKind::Equivocation,
                "this member has signed two histories and writes no more",
            ));
        };
        Ok(Some((*tip, tables::known_position(view, &tip.id)?.lamport)))
    }

    /// The `Add` that a member's chain begins with, and its lamport number.
    fn admission_of(&self, member: &MemberId) -> Option<(Parent, u64)> {
        let facts = self.governance.members.get(member)?;
        let act = self.acts.by_id(&facts.added.id)?;
        Some((Parent { author: act.author, sequence: act.sequence, id: act.id }, act.place.lamport))
    }

    /// Executes a call where it would stand, without changing anything.
    fn rehearse(
        &self,
        view: &View<'_>,
        transaction: &Transaction,
        call: &CallPayload,
        application: Option<&dyn Application>,
    ) -> Result<(TransactionId, Executed)> {
        let author = transaction.header.author;
        let role = match self.governance.members.get(&author).map(|facts| facts.role) {
            None => return Err(Rejection::NotMember.into()),
            Some(Role::Reader) => return Err(Rejection::NotPermitted.into()),
            Some(role) => role,
        };
        let application = application.ok_or_else(|| {
            let name = &self.core.application;
            Error::new(ErrorKind::ApplicationMissing, format!("the application `{name}` is not registered"))
        })?;
        if let Some(place) = self.pending.keys().next() {
            return Err(Error::blocked(format!("transaction {} could not be executed yet", place.id)));
        }
        let id = transaction.header.id();
        let place = Place::tail(transaction.header.lamport, id);
        let mut state = StateAt::new(view, Some(place));
        let call = Call {
            method: &call.method,
            arguments: &call.arguments,
            member: author,
            role,
            transaction: id,
            timestamp: transaction.header.timestamp,
        };
        let answer = guarded(|| application.execute(&call, &mut state));
        match state.finish(answer, Some(role))? {
            Executed::Fault(cause) => Err(Error::blocked(cause)),
            Executed::Done(effects, writes) => match effects.receipt.outcome {
                Err(rejection) => Err(rejection.into()),
                Ok(_) => Ok((id, Executed::Done(effects, writes))),
            },
        }
    }

    /// Judges a governing transaction before it is written.
    fn foresee(&mut self, view: &View<'_>, transaction: &Transaction, payload: &Payload) -> Result<()> {
        let id = transaction.header.id();
        let number = self.acts.next();
        let heads = self.core.heads.iter().map(|head| head.frontier.as_slice());
        let mut past = self.acts.past(&self.acts.join(heads));
        if let Payload::Add(add) = payload {
            // Nobody would take it, this replica included.
            self.acts.admits(&add.key_package, transaction.header.timestamp, &past)?;
        }
        past.insert(number);
        self.acts.push(Act {
            id,
            place: Place::tail(transaction.header.lamport, id),
            author: transaction.header.author,
            sequence: transaction.header.sequence,
            what: What::from(Some(payload.clone())),
            past,
        });
        let chains = StoredChains { tables: view, tips: &self.tips, walked: &self.walked };
        let judged = Governance::judge(&self.acts, &chains);
        self.acts.pop();
        match judged?.verdict(number) {
            Some(rejection) => Err(rejection.clone().into()),
            None => Ok(()),
        }
    }
}

/// As many heads as one transaction can name, authors distinct; and the others.
fn nameable(heads: Vec<&Head>) -> (Vec<&Head>, Vec<&Head>) {
    let mut authors = std::collections::BTreeSet::new();
    let mut count = 0;
    heads.into_iter().partition(|head| {
        let fits = count < limits::PARENTS && authors.insert(head.author);
        count += usize::from(fits);
        fits
    })
}

fn too_large(payload: &Payload) -> Error {
    let what = match payload {
        Payload::Call(call) if call.method.is_empty() => {
            return Error::invalid_argument("a method has a name");
        }
        Payload::Call(call) if call.method.len() > limits::METHOD => {
            "the method's name is longer than 255 bytes"
        }
        Payload::Call(_) => "the arguments are larger than 1 MiB + 4 KiB",
        Payload::Invite(invite) if invite.max_uses == 0 => {
            return Error::invalid_argument("an invitation has at least one use");
        }
        Payload::Invite(_) => "the note is longer than 128 bytes",
        _ => "the payload is too large",
    };
    Error::limit_exceeded(what)
}
