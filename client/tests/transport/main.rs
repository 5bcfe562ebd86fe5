//! The client against servers on the loopback: balancer, proxy and source.
//!
//! The servers are small axum routers behind real TLS. "Killed" drops listener and connections, "frozen" keeps them open
//! and answers nothing, as a paused process does.

#[cfg(test)]
mod balancer;
#[cfg(test)]
mod master;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod source;
