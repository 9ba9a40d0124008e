//! Attachment records and their locks under the state folder.
