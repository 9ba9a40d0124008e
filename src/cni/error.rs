//! Error documents, and the only place that knows CNI's codes.
