//! The cluster under faults: real processes, real kubectl, hosts in network namespaces.
