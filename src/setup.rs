//! Makes the items of a new instance from what the host tells.
