//! The FTP server: the incoming directory that uploaders see.
