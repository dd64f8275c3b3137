//! Zip files in their plainest form, which every strict reader takes: no data descriptors, no extra fields, no
//! comments, one date for all. The parts are compressed by themselves, so that a large one serves many archives.

use std::{
    fmt,
    io::{self, Cursor, Read},
};

use bytes::Bytes;
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

/// The method's number in headers: deflate.
const DEFLATED: u16 = 8;
/// The version a reader needs for deflate.
const VERSION: u16 = 20;
/// The archive was made on Unix: the upper half of the attributes is a file mode.
const UNIX: u16 = 3 << 8;
/// 1 January 1980, where zip's calendar begins.
const DATE: u16 = 0x21;

/// A compressed file. Clones share its bytes.
#[derive(Clone)]
pub struct Part {
    /// ASCII, with `/` between folders.
    name: String,
    executable: bool,
    crc: u32,
    size: u32,
    data: Bytes,
}

/// Without the content, which may be large or secret.
impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Part")
            .field("name", &self.name)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Part {
    /// Reads and compresses a file of less than 4 GiB.
    pub fn pack(name: &str, executable: bool, mut content: impl Read) -> io::Result<Self> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file("part", options)?;
        io::copy(&mut content, &mut writer)?;
        let packed = Bytes::from(writer.finish()?.into_inner());
        let mut archive = ZipArchive::new(Cursor::new(&packed))?;
        let file = archive.by_index_raw(0)?;
        let start = usize::try_from(file.data_start()).map_err(io::Error::other)?;
        let length = usize::try_from(file.compressed_size()).map_err(io::Error::other)?;
        Ok(Self {
            name: name.to_owned(),
            executable,
            crc: file.crc32(),
            size: short(file.size())?,
            data: packed.slice(start..start + length),
        })
    }

    /// What a local header and a directory entry have in common, from the needed version to the extra field's length.
    fn shared(&self) -> io::Result<Vec<u8>> {
        let name = u16::try_from(self.name.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(26);
        for field in [VERSION, 0, DEFLATED, 0, DATE] {
            bytes.extend(field.to_le_bytes());
        }
        for field in [self.crc, self.compressed()?, self.size] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(name.to_le_bytes());
        bytes.extend([0, 0]);
        Ok(bytes)
    }

    fn compressed(&self) -> io::Result<u32> {
        short(self.data.len())
    }

    fn local_header(&self) -> io::Result<Vec<u8>> {
        Ok([&b"PK\x03\x04"[..], &self.shared()?, self.name.as_bytes()].concat())
    }

    fn directory_entry(&self, offset: usize) -> io::Result<Vec<u8>> {
        let mode: u32 = if self.executable {
            0o100_755
        } else {
            0o100_644
        };
        let made_by = (UNIX | VERSION).to_le_bytes();
        let mut bytes = [&b"PK\x01\x02"[..], &made_by, &self.shared()?].concat();
        // No comment, the first disk, no internal attributes.
        bytes.extend([0; 6]);
        bytes.extend((mode << 16).to_le_bytes());
        bytes.extend(short(offset)?.to_le_bytes());
        bytes.extend(self.name.as_bytes());
        Ok(bytes)
    }
}

/// An archive of `parts` in their order, as pieces to be sent one after another.
pub fn archive(parts: &[Part]) -> io::Result<Vec<Bytes>> {
    let (mut pieces, mut directory, mut offset) = (Vec::new(), Vec::new(), 0);
    for part in parts {
        let header = part.local_header()?;
        directory.extend(part.directory_entry(offset)?);
        offset += header.len() + part.data.len();
        pieces.extend([Bytes::from(header), part.data.clone()]);
    }
    let count = u16::try_from(parts.len()).map_err(io::Error::other)?;
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend(count.to_le_bytes());
    end.extend(count.to_le_bytes());
    end.extend(short(directory.len())?.to_le_bytes());
    end.extend(short(offset)?.to_le_bytes());
    end.extend([0, 0]);
    directory.extend(end);
    pieces.push(Bytes::from(directory));
    Ok(pieces)
}

/// The plain form has 32 bits for every size and place.
fn short(number: impl TryInto<u32>) -> io::Result<u32> {
    number.try_into().map_err(|_| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            "a file of 4 GiB or more cannot be packed",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_finds_what_was_packed() {
        let long = "x".repeat(100_000);
        let parts = [("a.json", false, "{}"), ("server/b", true, &long)];
        let parts = parts
            .map(|(name, executable, text)| Part::pack(name, executable, text.as_bytes()).unwrap());
        let bytes = archive(&parts).unwrap().concat();
        assert_eq!(bytes, archive(&parts).unwrap().concat());

        let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 2);
        let mut file = archive.by_index(1).unwrap();
        assert_eq!(
            (file.name(), file.unix_mode()),
            ("server/b", Some(0o100_755))
        );
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, long);
    }
}
