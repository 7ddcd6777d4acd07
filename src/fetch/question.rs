//! Requests of all kinds, and whatever is answered.
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request};

use super::{AGENT, Client, Error, parse, read, within};

/// A request with all that the caller says.
#[derive(Clone, Debug, Default)]
pub struct Question<'a> {
    pub url: &'a str,
    pub headers: &'a [(&'static str, String)],
    /// A form (`application/x-www-form-urlencoded`), sent by POST; `None`: by GET.
    pub form: Option<String>,
}

/// What a server says, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// All values of a header.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    }
}

impl Client {
    /// Asks once; no redirect is followed.
    pub async fn ask(
        &self,
        question: &Question<'_>,
        limit: usize,
        time: Duration,
    ) -> Result<Answer, Error> {
        let url = question.url;
        let answer = async {
            let response = self.send(url, question.request()?).await?;
            Ok(Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: read(url, response, limit).await?,
            })
        };
        within(time, url, answer).await
    }
}

impl Question<'_> {
    fn request(&self) -> Result<Request<Full<Bytes>>, Error> {
        let malformed = || Error::Url {
            url: self.url.into(),
        };
        let uri = parse(self.url).ok_or_else(malformed)?;
        let method = match self.form {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::USER_AGENT, AGENT);
        if self.form.is_some() {
            let form = "application/x-www-form-urlencoded";
            request = request.header(header::CONTENT_TYPE, form);
        }
        for (name, value) in self.headers {
            request = request.header(*name, value);
        }
        let body = Full::from(self.form.clone().unwrap_or_default());
        request.body(body).map_err(|_| malformed())
    }
}
