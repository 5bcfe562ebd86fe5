//! The services on the client port.

use tonic::service::Routes;

use crate::Store;

pub(crate) fn routes(_store: &Store) -> Routes {
    Routes::default()
}
