//! Kubernetes objects as data: schema tables, object node, codecs, kinds.
