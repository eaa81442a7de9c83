//! How a world begins: one node has made a context.

use ed25519_dalek::SigningKey;
use kith_core::Result;
use kith_core::node::machine::{Marks as _, Wish, first_keys};
use kith_core::replica::payload::Add;
use kith_core::replica::{Creation, MemberId, MemoryTables, Payload, Replica, Role, Signer};
use kith_core::storage::{Batch, Durability, Mark, Store as _, add_writes};
use kith_oracle::probe::Probe;

use crate::dice::Dice;
use crate::node::NUMBER;
use crate::world::{Go, Purpose, World};

impl World {
    pub(crate) fn create(&mut self) -> Go {
        self.create_context().map_err(|error| ("opening-works", 0, error.to_string()))?;
        self.start(0)?;
        self.add_ghosts();
        self.connect_all();
        Ok(())
    }

    /// Members without a node: whoever has their keys never comes.
    fn add_ghosts(&mut self) {
        let Some((context, _)) = self.nodes[0].context else { return };
        let mut dice = Dice::new(self.plan.seed, "keys of ghosts");
        for _ in 0..self.plan.ghosts {
            let key = SigningKey::from_bytes(&dice.bytes());
            let member = MemberId(key.verifying_key().to_bytes());
            let Ok((package, _)) = first_keys(self.plan.suite, member, dice.bytes()) else { continue };
            let add = Add::request(&context, &key, Role::Writer, package, None);
            self.wish(0, Wish::Author(Payload::Add(add)), Purpose::Plain);
            self.report.events += 1;
        }
    }

    fn create_context(&mut self) -> Result<()> {
        let node = &mut self.nodes[0];
        let dice = std::sync::Arc::clone(&node.dice);
        let mut random = || dice.lock().unwrap_or_else(std::sync::PoisonError::into_inner).bytes();
        let mut signer = Signer { key: &node.key, timestamp: 1, random: &mut random };
        let suite = self.plan.suite;
        let (key_package, keys) = first_keys(suite, node.me, node.roll())?;
        let creation = Creation {
            application: "probe".into(),
            arguments: Vec::new(),
            name: "a world".into(),
            suite,
            key_package,
        };
        let (replica, genesis, step) =
            Replica::create(&mut signer, creation, &MemoryTables::default(), &Probe)?;
        let mut batch = Batch::default();
        add_writes(&mut batch, NUMBER, step.writes);
        add_writes(&mut batch, NUMBER, keys);
        node.disk.commit(&batch, Durability::Power)?;
        let id = genesis.header.id();
        node.disk.raise(&replica.context(), &node.me, Mark { sequence: 1, id })?;
        node.context = Some((replica.context(), *replica.access_key()));
        node.joined = true;
        Ok(())
    }
}
