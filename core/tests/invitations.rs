//! What becomes of invitations between nodes: each way in which one cannot be used has an error of its own, any member admits, and
//! who loses a race learns it. Nodes over links in memory; `membership.rs` has the same rules in the replica alone.

mod nodes;

use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Encryption, Event, InviteOptions, JoinOptions, Level};
use kith_core::replica::Role;
use nodes::{PATIENCE, equal, join, key, open, peer, sign, until};

fn invite(uses: u32) -> InviteOptions {
    let mut options = InviteOptions::default();
    options.max_uses = uses;
    options
}

fn hurry() -> JoinOptions {
    let mut options = JoinOptions::default();
    options.timeout = Some(Duration::from_secs(2));
    options
}

#[tokio::test]
async fn what_cannot_be_used_says_why() {
    let hub = Hub::new();
    let (anna, ben, cleo) = (open(&hub).await, open(&hub).await, open(&hub).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();

    let expired = context.invite({
        let mut options = invite(1);
        options.expires_in = Some(Duration::ZERO);
        options
    });
    let expired = expired.await.unwrap();
    let error = ben.join(&expired.to_text(), hurry()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvitationExpired);

    let revoked = context.invite(invite(1)).await.unwrap();
    context.revoke(revoked.invite).await.unwrap();
    let error = ben.join(&revoked.to_text(), JoinOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvitationRevoked);

    let used = context.invite(invite(1)).await.unwrap();
    cleo.join(&used.to_text(), JoinOptions::default()).await.unwrap();
    let error = ben.join(&used.to_text(), JoinOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvitationUsed);

    let damaged = used.to_text().replace('q', "p");
    assert_eq!(ben.inspect(&damaged).unwrap_err().kind(), ErrorKind::InvitationInvalid);
    assert_eq!(ben.join(&damaged, hurry()).await.unwrap_err().kind(), ErrorKind::InvitationInvalid);

    // Nothing of a context stays that could not be joined.
    assert_eq!(ben.contexts().unwrap().len(), 0);
    assert_eq!(ben.context(context.id()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(context.members().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_invitation_says_what_it_is_before_it_is_used() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();
    let mut options = invite(3);
    options.note = "für Ben ✓".into();
    options.role = Role::Reader;
    let made = context.invite(options).await.unwrap();
    let read = ben.inspect(&made.to_text()).unwrap();
    assert_eq!((read.context, read.inviter, read.role), (context.id(), context.me(), Role::Reader));
    assert_eq!((read.note.as_str(), read.application.as_str(), read.member), ("für Ben ✓", "kv", false));
    let listed = context.invitations().await.unwrap();
    assert_eq!((listed.len(), listed[0].id, listed[0].uses, listed[0].max_uses), (1, made.invite, 0, 3));
    let joined = ben.join(&made.to_text(), JoinOptions::default()).await.unwrap();
    assert_eq!(joined.role(), Some(Role::Reader));
    assert!(ben.inspect(&made.to_text()).unwrap().member);
    assert_eq!(joined.put(key("x"), b"").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(context.invitations().await.unwrap()[0].uses, 1);
    // Joining again is being there already.
    assert_eq!(ben.join(&made.to_text(), hurry()).await.unwrap().me(), joined.me());
}

#[tokio::test]
async fn any_member_admits_while_the_inviter_is_away() {
    let hub = Hub::new();
    let (anna, ben, cleo) = (open(&hub).await, open(&hub).await, open(&hub).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();
    let at_ben = join(&context, &ben, Role::Reader).await.unwrap();
    equal(&context, &at_ben).await;
    let made = loop {
        // Until Ben's address is known here, and so in the invitation.
        let made = context.invite(invite(1)).await.unwrap();
        if made.addresses.iter().any(|address| address.ends_with(&ben.id())) {
            break made;
        }
    };
    equal(&context, &at_ben).await;
    anna.shutdown().await.unwrap();
    let at_cleo = cleo.join(&made.to_text(), JoinOptions::default()).await.unwrap();
    assert_eq!(at_cleo.role(), Some(Role::Writer));
    at_cleo.put(key("x"), b"written while the inviter is away").await.unwrap();
    equal(&at_cleo, &at_ben).await;
}

#[tokio::test]
async fn of_two_who_redeem_one_use_at_once_the_loser_learns_it() {
    let hub = Hub::new();
    let (anna, ben, cleo, dora) = (open(&hub).await, open(&hub).await, open(&hub).await, open(&hub).await);
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    let at_ben = join(&at_anna, &ben, Role::Writer).await.unwrap();
    let made = at_anna.invite(invite(1)).await.unwrap();
    equal(&at_anna, &at_ben).await;

    // Cleo sees Anna alone, Dora sees Ben alone, and these two do not see each other.
    hub.partition(peer(&anna), peer(&ben));
    hub.partition(peer(&anna), peer(&dora));
    hub.partition(peer(&ben), peer(&cleo));
    dora.connect(&ben.addresses()[0]).await.unwrap();
    let token = made.to_text();
    let (at_cleo, at_dora) =
        tokio::join!(cleo.join(&token, JoinOptions::default()), dora.join(&token, JoinOptions::default()));
    let (at_cleo, at_dora) = (at_cleo.unwrap(), at_dora.unwrap());
    at_cleo.put(key("cleo"), b"1").await.unwrap();
    at_dora.put(key("dora"), b"1").await.unwrap();

    let mut seen = [at_cleo.events(Some(0)).await.unwrap(), at_dora.events(Some(0)).await.unwrap()];
    hub.heal(peer(&anna), peer(&ben));
    anna.connect(&ben.addresses()[0]).await.unwrap();
    equal(&at_anna, &at_ben).await;
    let [of_cleo, of_dora] = &mut seen;
    let closed = |event: &Event| matches!(event, Event::Closed { .. });
    let (loser, reason) = tokio::select! {
        event = until(of_cleo, closed) => (&at_cleo, event),
        event = until(of_dora, closed) => (&at_dora, event),
    };
    let Event::Closed { reason } = reason else { unreachable!() };
    assert!(reason.contains("used up"), "{reason}");
    let winner = if loser.me() == at_cleo.me() { &at_dora } else { &at_cleo };
    assert_eq!(loser.role(), None);
    assert_eq!(winner.role(), Some(Role::Writer));
    assert_eq!(loser.put(key("late"), b"").await.unwrap_err().kind(), ErrorKind::NotMember);
    // What the loser wrote counts nowhere.
    let lost = if loser.me() == at_cleo.me() { "cleo" } else { "dora" };
    for context in [&at_anna, &at_ben] {
        assert_eq!(context.get(key(lost), Level::Tentative).await.unwrap(), None);
        assert_eq!(context.members().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn one_who_is_removed_learns_it_and_writes_no_more() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    let at_ben = join(&at_anna, &ben, Role::Writer).await.unwrap();
    equal(&at_anna, &at_ben).await;
    hub.partition(peer(&anna), peer(&ben));
    at_anna.remove(at_ben.me()).await.unwrap();
    at_ben.put(key("unseen"), b"1").await.unwrap();
    let mut events = at_ben.events(None).await.unwrap();
    hub.heal(peer(&anna), peer(&ben));
    ben.connect(&anna.addresses()[0]).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Closed { .. })).await;
    assert_eq!(at_ben.put(key("late"), b"").await.unwrap_err().kind(), ErrorKind::NotMember);
    assert_eq!(at_anna.get(key("unseen"), Level::Tentative).await.unwrap(), None);
    assert_eq!(at_anna.members().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_admin_names_another_one_before_it_leaves() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    let at_ben = join(&at_anna, &ben, Role::Writer).await.unwrap();
    assert_eq!(at_anna.leave().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(at_ben.remove(at_anna.me()).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    at_anna.set_role(at_ben.me(), Role::Admin).await.unwrap();
    at_anna.leave().await.unwrap();
    assert_eq!(anna.contexts().unwrap().len(), 0);
    let mut events = at_ben.events(Some(0)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::MemberLeft { .. })).await;
    assert_eq!(at_ben.role(), Some(Role::Admin));
    // The last one of all takes the context with it.
    tokio::time::timeout(PATIENCE, at_ben.leave()).await.unwrap().unwrap();
    assert_eq!(ben.contexts().unwrap().len(), 0);
}

/// Whoever knows the context's id and where its members are has nothing: the handshake wants the access key, and the admission the invite key.
/// Both are in the token, with the suite of the joiner's first keys.
#[tokio::test]
async fn the_contexts_id_alone_gives_nothing() {
    for encryption in [Encryption::X25519, Encryption::XWing] {
        let hub = Hub::new();
        let (anna, ben) = (open(&hub).await, open(&hub).await);
        let mut options = CreateOptions::default();
        options.encryption = encryption;
        let context = anna.create_context(options).await.unwrap();
        context.put(key("a"), b"secret").await.unwrap();
        let token = context.invite(invite(1)).await.unwrap();
        assert_eq!(token.suite, encryption.suite());
        let before = context.status().await.unwrap();

        let mut without_access = token.clone();
        without_access.access_key = [9; 32];
        let error = ben.join(&sign(without_access), hurry()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "nobody answers: {error}");
        let mut without_invite_key = token.clone();
        without_invite_key.secret = [9; 32];
        let error = ben.join(&sign(without_invite_key), hurry()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvitationInvalid, "{error}");
        assert!(ben.contexts().unwrap().is_empty(), "nothing was received");
        let after = context.status().await.unwrap();
        assert_eq!((after.digest, context.members().await.unwrap().len()), (before.digest, 1));

        // Control: the whole token is enough.
        let joined = ben.join(&token.to_text(), JoinOptions::default()).await.unwrap();
        assert_eq!(joined.get(key("a"), Level::Tentative).await.unwrap().unwrap(), b"secret");
        joined.put(key("b"), b"sealed").await.unwrap();
        equal(&context, &joined).await;
        for node in [anna, ben] {
            node.shutdown().await.unwrap();
        }
    }
}

fn within(timeout: Duration) -> JoinOptions {
    let mut options = JoinOptions::default();
    options.timeout = Some(timeout);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_of_a_join_gives_up_for_itself_alone() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let token = mine.invite(invite(1)).await.unwrap().to_text();
    // Nobody is there to admit.
    anna.suspend(PATIENCE).await.unwrap();
    let joining = |timeout: Duration| {
        let (ben, token) = (ben.clone(), token.clone());
        tokio::spawn(async move { ben.join(&token, within(timeout)).await })
    };
    let short = Duration::from_millis(200);
    let (hasty, given_up, patient) = (joining(short), joining(PATIENCE), joining(PATIENCE));
    assert_eq!(hasty.await.unwrap().unwrap_err().kind(), ErrorKind::Unreachable);
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    // Another hasty one has its time after that, and is alone with the patient one again.
    joining(short).await.unwrap().unwrap_err();
    assert!(ben.contexts().unwrap()[0].joining);
    anna.resume().await.unwrap();
    let yours = patient.await.unwrap().unwrap();
    equal(&mine, &yours).await;

    // The last one that gives up ends it, whichever that is.
    yours.leave().await.unwrap();
    let token = mine.invite(invite(1)).await.unwrap().to_text();
    anna.suspend(PATIENCE).await.unwrap();
    let joining = |timeout: Duration| {
        let (ben, token) = (ben.clone(), token.clone());
        tokio::spawn(async move { ben.join(&token, within(timeout)).await })
    };
    let (second, first) = (joining(Duration::from_secs(1)), joining(short));
    first.await.unwrap().unwrap_err();
    assert_eq!(ben.contexts().unwrap().len(), 1);
    second.await.unwrap().unwrap_err();
    assert_eq!(ben.contexts().unwrap().len(), 0);

    // One that gives up while the node sleeps leaves nothing either, once that is awake.
    let waiting = joining(Duration::from_secs(1));
    while ben.contexts().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    ben.suspend(PATIENCE).await.unwrap();
    waiting.await.unwrap().unwrap_err();
    ben.resume().await.unwrap();
    let gone = async {
        while !ben.contexts().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();

    // Who leaves it meanwhile ends it for all, at once.
    let waiting = joining(Duration::from_secs(3600));
    while ben.contexts().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let context = ben.context(mine.id()).unwrap();
    context.leave().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(ended.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(ben.contexts().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_callers_of_a_join_are_refused_together_and_the_next_one_begins_anew() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    for _ in 0..5 {
        let revoked = mine.invite(invite(1)).await.unwrap();
        mine.revoke(revoked.invite).await.unwrap();
        let (token, good) = (revoked.to_text(), mine.invite(invite(1)).await.unwrap().to_text());
        let (one, other) =
            tokio::join!(ben.join(&token, within(PATIENCE)), ben.join(&token, within(PATIENCE)));
        for refused in [one, other] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvitationRevoked);
        }
        let yours = ben.join(&good, within(PATIENCE)).await.unwrap();
        equal(&mine, &yours).await;
        yours.leave().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_join_by_a_bad_invitation_has_its_own_still() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let mut revoked = Vec::new();
    for _ in 0..2 {
        let made = mine.invite(invite(1)).await.unwrap();
        mine.revoke(made.invite).await.unwrap();
        revoked.push(made.to_text());
    }
    let good = mine.invite(invite(1)).await.unwrap().to_text();
    // Nobody is there to refuse before all are waiting.
    anna.suspend(PATIENCE).await.unwrap();
    let joining = |token: &str| {
        let (ben, token) = (ben.clone(), token.to_owned());
        tokio::spawn(async move { ben.join(&token, within(PATIENCE)).await })
    };
    let first = joining(&revoked[0]);
    while ben.contexts().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = [joining(&revoked[0]), joining(&revoked[1]), joining(&good), joining(&good)];
    anna.resume().await.unwrap();
    assert_eq!(first.await.unwrap().unwrap_err().kind(), ErrorKind::InvitationRevoked);
    let [same, other, good, also] = waiting;
    // Whose turn comes after another one has joined is a member like that one.
    for refused in [same, other] {
        match refused.await.unwrap() {
            Ok(context) => equal(&mine, &context).await,
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvitationRevoked),
        }
    }
    for joined in [good, also] {
        equal(&mine, &joined.await.unwrap().unwrap()).await;
    }
    assert_eq!(mine.members().await.unwrap().len(), 2);
}
