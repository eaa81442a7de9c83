//! X
mod common;
use common::{actions::plan, oracle::Oracle, probe::Probe, world::World};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn smoke(plan in plan(5..50)) {
        let world = World::of(&plan);
        let all = world.transactions();
        let oracle = Oracle::replay(&world.context, &all, &Probe);
        assert_eq!(oracle.order.len(), world.entries.len());
    }
}
