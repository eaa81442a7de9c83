//! Runs worlds: see `cargo xtask simulate`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kith_simulator::plan::{Plan, Wanted};
use kith_simulator::{Violation, run, shrink};

const HELP: &str = "\
--seed N       the first seed (default 1)
--worlds N     how many worlds (default 100)
--minutes N    no longer than this
--nodes N      nodes of each world, where not the seed is to say
--calls N      calls in each world
--calm         no faults and no lies
--only A,B,…   only these steps of the plan
--show         shows the plan
--fault NAME   only this one with --defects
--defects      turns off one rule of the engine at a time, and wants each to be found (with the feature fault-switches)";

#[derive(Default)]
struct Options {
    seed: u64,
    worlds: u64,
    minutes: Option<u64>,
    wanted: Wanted,
    only: Option<Vec<usize>>,
    show: bool,
    defects: bool,
    fault: Option<String>,
}

fn main() -> ExitCode {
    let options = match read() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    // What a world catches is told by the world.
    std::panic::set_hook(Box::new(|_| {}));
    if options.defects {
        return defects(options.seed, options.fault.as_deref());
    }
    let begun = Instant::now();
    let (mut passed, mut failed) = (0u64, 0u64);
    for seed in options.seed..options.seed.saturating_add(options.worlds) {
        if options.minutes.is_some_and(|minutes| begun.elapsed() > Duration::from_secs(60 * minutes)) {
            break;
        }
        let mut plan = Plan::new(seed, options.wanted);
        if let Some(only) = &options.only {
            plan = shrink::only(&plan, only);
        }
        if options.show {
            println!("{} nodes, {} liars, flushed one by one: {}", plan.nodes, plan.liars, plan.power);
            plan.steps
                .iter()
                .enumerate()
                .for_each(|(number, step)| println!("{number:>5} {:>8} {:?}", step.at, step.act));
        }
        let world = Instant::now();
        match run(&plan) {
            Ok(report) => {
                passed += 1;
                println!("seed {seed}: {} nodes, {:?}, {report:?}", plan.nodes, world.elapsed());
            }
            Err(violation) => {
                failed += 1;
                tell(&options, &plan, &violation);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(feature = "fault-switches")]
fn defects(seed: u64, only: Option<&str>) -> ExitCode {
    let (found, missed) = kith_simulator::defects::all(seed, only);
    println!("{found} passed, {missed} failed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "fault-switches"))]
fn defects(_seed: u64, _only: Option<&str>) -> ExitCode {
    eprintln!("this build has no rules that can be turned off: build it with the feature fault-switches");
    ExitCode::FAILURE
}

fn tell(options: &Options, plan: &Plan, violation: &Violation) {
    let seed = plan.seed;
    println!("seed {seed}: {violation}");
    let mut more = String::new();
    if let Some(nodes) = options.wanted.nodes {
        more += &format!(" --nodes {nodes}");
    }
    if let Some(calls) = options.wanted.calls {
        more += &format!(" --calls {calls}");
    }
    if options.wanted.calm {
        more += " --calm";
    }
    println!("  again: cargo xtask simulate --seed {seed} --worlds 1{more}");
    if options.only.is_none() {
        let kept = shrink::shrink(plan, violation, Duration::from_secs(60));
        let numbers: Vec<String> = kept.iter().map(ToString::to_string).collect();
        println!("  shorter, {} of {} steps:", kept.len(), plan.steps.len());
        println!("    cargo xtask simulate --seed {seed} --worlds 1{more} --only {}", numbers.join(","));
        for number in kept {
            println!("    {:>8} ms {:?}", plan.steps[number].at, plan.steps[number].act);
        }
    }
}

fn read() -> Result<Options, String> {
    let mut options = Options { seed: 1, worlds: 100, ..Options::default() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} wants a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
        match word.as_str() {
            "--seed" => options.seed = number(next()?)?,
            "--worlds" => options.worlds = number(next()?)?,
            "--minutes" => {
                options.minutes = Some(number(next()?)?);
                if options.worlds == 100 {
                    options.worlds = u64::MAX;
                }
            }
            "--nodes" => options.wanted.nodes = Some(number(next()?)?.clamp(2, 50) as usize),
            "--calls" => options.wanted.calls = Some(number(next()?)? as usize),
            "--calm" => options.wanted.calm = true,
            "--show" => options.show = true,
            "--fault" => options.fault = Some(next()?),
            "--defects" => options.defects = true,
            "--only" => {
                let list: Result<Vec<usize>, _> =
                    next()?.split(',').filter(|n| !n.is_empty()).map(str::parse).collect();
                options.only =
                    Some(list.map_err(|_| "--only wants numbers with commas between".to_string())?);
                options.worlds = 1;
            }
            _ => return Err(format!("`{word}` is not known")),
        }
    }
    Ok(options)
}
