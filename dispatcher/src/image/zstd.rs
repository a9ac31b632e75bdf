//! Zstandard as layers have it: frame behind frame, and frames that hold no content, until the end (RFC 8878, section 3).
//!
//! `pzstd` writes a file in many frames, and `zstd:chunked` ends in frames to be skipped. The decoder knows of one frame.

use std::io::{self, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The content of all frames that a source has.
pub(super) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new() }
    }

    /// Begins the next frame; false where the source ends instead.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            let mut first = Vec::new();
            if self.source.by_ref().take(1).read_to_end(&mut first)? == 0 {
                return Ok(false);
            }
            match self.decoder.reset(first.chain(&mut self.source)) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    skip(&mut self.source, length.into())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if !self.decoder.is_finished() {
                let decoded = self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(io::Error::other)?;
            } else if !self.begin()? {
                return Ok(0);
            }
        }
    }
}

fn skip(source: &mut impl Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut source.take(length), &mut io::sink())?;
    if skipped < length {
        let short = format!("it ends {} bytes before a frame that is to be skipped does", length - skipped);
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, short));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn frame(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    /// RFC 8878, section 3.1.2.
    fn skippable(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        [&0x184D_2A53_u32.to_le_bytes(), &length.to_le_bytes(), content].concat()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Frames::new(bytes).read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn all_frames_are_read_and_those_without_content_skipped() {
        let large: Vec<_> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
        let all = [skippable(b"first"), frame(&large), skippable(b""), frame(b""), frame(b" end"), skippable(b"last")];
        assert!(read(&all.concat()).unwrap() == [&large, &b" end"[..]].concat());
    }

    #[test]
    fn what_is_behind_a_frame_must_be_a_frame() {
        let one = frame(b"content");
        for (tail, says) in [
            (b"x".to_vec(), "magic number"),
            (b"no frame".to_vec(), "magic number"),
            (frame(b"more")[..9].to_vec(), ""),
            (skippable(b"skipped")[..10].to_vec(), "5 bytes before"),
        ] {
            let error = read(&[one.clone(), tail].concat()).unwrap_err();
            assert!(crate::causes::chain(&error).contains(says), "{error}");
        }
    }
}
