//! Too little of a role, and what does not exist.

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Event};
use kith_core::replica::{MemberId, Role, TransactionId};

use crate::faulty::{Faulty, calls, governing, node_on};
use crate::nodes::{equal, join, open, until};
use crate::table::Table;

pub(crate) async fn too_little_of_a_role(table: &mut Table) {
    table.case("a reader who writes, a writer who governs");
    let hub = Hub::new();
    let (anna, ben, cleo) = (open(&hub).await, open(&hub).await, open(&hub).await);
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    at_anna.put(crate::faulty::key(), b"a call to skip").await.unwrap();
    let reader = join(&at_anna, &ben, Role::Reader).await.unwrap();
    let writer = join(&at_anna, &cleo, Role::Writer).await.unwrap();
    let invite = at_anna.invite(Default::default()).await.unwrap().invite;
    equal(&at_anna, &writer).await;
    equal(&at_anna, &reader).await;
    let denied = ErrorKind::PermissionDenied;
    table.all(denied, calls(&reader, || ()).await);
    // What one may do to oneself is left out by acting on somebody else.
    let other = at_anna.me();
    table.shows("Context::set_role", denied, writer.set_role(other, Role::Reader).await);
    table.shows("Context::remove", denied, writer.remove(other).await);
    let others = governing(&writer, invite, || ()).await;
    let others = others.into_iter().filter(|(call, _)| {
        !["set_role", "remove", "set_display_name", "rotate_keys"].iter().any(|name| call.ends_with(name))
    });
    table.all(denied, others.collect());
    table.shows("Context::leave", denied, at_anna.leave().await);

    table.case("members that are none");
    let stranger = MemberId([7; 32]);
    table.shows("Context::set_role", ErrorKind::NotMember, at_anna.set_role(stranger, Role::Reader).await);
    table.shows("Context::remove", ErrorKind::NotMember, at_anna.remove(stranger).await);
    for node in [anna, ben, cleo] {
        node.shutdown().await.unwrap();
    }
}

pub(crate) async fn what_does_not_exist(table: &mut Table) {
    table.case("what does not exist");
    let (node, context, _) = node_on(&Faulty::new()).await;
    let nothing = TransactionId([7; 32]);
    table.shows("Node::context", ErrorKind::NotFound, node.context(kith_core::replica::ContextId([7; 32])));
    table.shows("Context::revoke", ErrorKind::InvitationInvalid, context.revoke(nothing).await);
    table.shows("Context::skip", ErrorKind::NotFound, context.skip(nothing).await);

    table.case("what is something else");
    let call = context.put(crate::faulty::key(), b"no invitation").await.unwrap();
    let invite = context.invitations().await.unwrap()[0].id;
    table.shows("Context::revoke", ErrorKind::InvitationInvalid, context.revoke(call).await);
    table.shows("Context::skip", ErrorKind::InvalidArgument, context.skip(invite).await);
    node.shutdown().await.unwrap();
}

pub(crate) async fn who_was_removed(table: &mut Table) {
    table.case("a member that was removed");
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    at_anna.put(crate::faulty::key(), b"a call to skip").await.unwrap();
    let at_ben = join(&at_anna, &ben, Role::Admin).await.unwrap();
    let invite = at_anna.invite(Default::default()).await.unwrap().invite;
    equal(&at_anna, &at_ben).await;
    let mut events = at_ben.events(None).await.unwrap();
    at_anna.remove(at_ben.me()).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Closed { .. })).await;
    table.all(ErrorKind::NotMember, calls(&at_ben, || ()).await);
    table.all(ErrorKind::NotMember, governing(&at_ben, invite, || ()).await);
    for node in [anna, ben] {
        node.shutdown().await.unwrap();
    }
}
