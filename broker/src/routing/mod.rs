//! Exchanges, queues and bindings as a pure state machine, and the routing of a publish.
