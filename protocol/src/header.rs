//! The headers in front of requests and responses (`messages::{request_header, response_header}`),
//! under their short names. Which version stands in front of what is `ApiKey`'s to say.

pub use crate::messages::request_header::RequestHeader;
pub use crate::messages::response_header::ResponseHeader;
