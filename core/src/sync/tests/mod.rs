mod batches;
mod convergence;
mod handshakes;
mod hostile;
mod links;
mod quiet;
mod store;
mod world;
