mod batches;
mod convergence;
mod covers;
mod handshakes;
mod hostile;
mod links;
mod quiet;
mod shares;
mod store;
mod world;
mod wraps;

pub(super) use batches::chain;
