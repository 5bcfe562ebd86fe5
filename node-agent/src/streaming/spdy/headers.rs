//! SPDY's header blocks: names and values, compressed with one memory per direction and a dictionary known to both sides.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// A decompressed block is no longer.
const BLOCK_MAX: usize = 64 * 1024;

/// Names and values, in lower case as the protocol demands.
pub(crate) type Headers = Vec<(String, String)>;

/// The block is damaged, or far larger than these protocols need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged headers")]
pub(crate) struct Damaged;

/// The words of the dictionary that stand behind their length.
const WORDS: [&str; 61] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
];
/// More of them; the rest is plain text.
const MORE: [&str; 4] = ["public", "set-cookie", "keep-alive", "origin"];
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 \
                    Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 \
                    Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service \
                    UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, \
                    Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,\
                    text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,\
                    utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.iter().chain(&MORE) {
        put_text(&mut bytes, word);
    }
    bytes.extend_from_slice(TEXT.as_bytes());
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Reads the blocks of one direction, in their order.
pub(crate) struct Decoder {
    zlib: Decompress,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { zlib: Decompress::new(true) }
    }
}

impl Decoder {
    /// Reads a block. After an error the memory is lost, and with it the connection.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Result<Headers, Damaged> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, Damaged> {
        let mut plain = Vec::with_capacity(1024);
        loop {
            let before = (self.zlib.total_in(), self.zlib.total_out());
            let result = self.zlib.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let consumed = usize::try_from(self.zlib.total_in() - before.0).map_err(|_| Damaged)?;
            block = &block[consumed..];
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.zlib.set_dictionary(&dictionary()).map_err(|_| Damaged)?;
                    continue;
                }
                Err(_) => return Err(Damaged),
                Ok(flate2::Status::StreamEnd) => return if block.is_empty() { Ok(plain) } else { Err(Damaged) },
                Ok(flate2::Status::Ok | flate2::Status::BufError) => {}
            }
            let is_full = plain.len() == plain.capacity();
            if block.is_empty() && !is_full {
                return Ok(plain);
            }
            if is_full {
                if plain.len() >= BLOCK_MAX {
                    return Err(Damaged);
                }
                plain.reserve(plain.len());
            } else if consumed == 0 && self.zlib.total_out() == before.1 {
                return Err(Damaged);
            }
        }
    }
}

fn parse(mut plain: &[u8]) -> Result<Headers, Damaged> {
    let count = take_number(&mut plain)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        headers.push((take_text(&mut plain)?, take_text(&mut plain)?));
    }
    if plain.is_empty() { Ok(headers) } else { Err(Damaged) }
}

fn take_number(plain: &mut &[u8]) -> Result<usize, Damaged> {
    let (number, rest) = plain.split_first_chunk::<4>().ok_or(Damaged)?;
    *plain = rest;
    usize::try_from(u32::from_be_bytes(*number)).map_err(|_| Damaged)
}

fn take_text(plain: &mut &[u8]) -> Result<String, Damaged> {
    let length = take_number(plain)?;
    let (text, rest) = plain.split_at_checked(length).ok_or(Damaged)?;
    *plain = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Damaged)
}

/// Writes the blocks of one direction, in their order.
pub(crate) struct Encoder {
    zlib: Compress,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self, Damaged> {
        let mut zlib = Compress::new(Compression::fast(), true);
        zlib.set_dictionary(&dictionary()).map_err(|_| Damaged)?;
        Ok(Self { zlib })
    }

    pub(crate) fn encode(&mut self, headers: &[(&str, &str)]) -> Result<Vec<u8>, Damaged> {
        let mut plain = Vec::new();
        plain.extend_from_slice(&u32::try_from(headers.len()).map_err(|_| Damaged)?.to_be_bytes());
        for (name, value) in headers {
            put_text(&mut plain, name);
            put_text(&mut plain, value);
        }
        let mut block = Vec::with_capacity(plain.len() + 64);
        let begin = self.zlib.total_in();
        loop {
            let done = usize::try_from(self.zlib.total_in() - begin).map_err(|_| Damaged)?;
            self.zlib.compress_vec(&plain[done..], &mut block, FlushCompress::Sync).map_err(|_| Damaged)?;
            // Room that is left means that everything is out.
            if block.len() < block.capacity() {
                return Ok(block);
            }
            block.reserve(64);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_protocol() {
        assert_eq!(dictionary().len(), 1423);
        // The number by which every compressed stream of the protocol names it.
        let mut zlib = Compress::new(Compression::fast(), true);
        assert_eq!(zlib.set_dictionary(&dictionary()).unwrap(), 0xe3c6_a7c2);
    }

    #[test]
    fn blocks_of_one_direction_share_their_memory() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::default());
        let mut lengths = Vec::new();
        for (kind, port) in [("error", "8080"), ("data", "8080"), ("error", "8080"), ("data", "8080")] {
            let headers = [("streamtype", kind), ("port", port), ("requestid", "0")];
            let block = encoder.encode(&headers).unwrap();
            lengths.push(block.len());
            let owned: Headers =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(decoder.decode(&block).unwrap(), owned);
        }
        assert!(lengths[2] < lengths[0], "the second time it is shorter: {lengths:?}");
        assert_eq!(decoder.decode(&encoder.encode(&[]).unwrap()).unwrap(), Headers::new());
        let long = "x".repeat(BLOCK_MAX / 2);
        let block = encoder.encode(&[("a", &long)]).unwrap();
        assert_eq!(decoder.decode(&block).unwrap()[0].1, long);
    }

    #[test]
    fn a_small_block_that_grows_without_bound_is_refused() {
        let long = "x".repeat(16 << 20);
        let block = Encoder::new().unwrap().encode(&[("a", &long)]).unwrap();
        assert!(block.len() < 256 * 1024);
        assert_eq!(Decoder::default().decode(&block), Err(Damaged));
    }

    #[test]
    fn damaged_blocks_are_read_or_refused() {
        let mut random = SmallRng::seed_from_u64(3);
        let headers = [("streamtype", "error"), ("port", "8080"), ("requestid", "12")];
        for _ in 0..2_000 {
            let mut block = Encoder::new().unwrap().encode(&headers).unwrap();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..block.len());
                block[at] = random.random();
            }
            block.truncate(random.random_range(0..=block.len()));
            drop(Decoder::default().decode(&block));
        }
    }
}
