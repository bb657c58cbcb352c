//! The blocks of a pcapng file, little-endian, as far as they are needed here (draft-ietf-opsawg-pcapng).

use std::{
    io::{self, Write},
    net::Ipv4Addr,
};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAMES: u32 = 4;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Packets begin with their IP header.
const LINK_RAW: u16 = 101;

const OPTION_COMMENT: u16 = 1;
const OPTION_APPLICATION: u16 = 4;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;
/// Times count in units of 10^-9 s.
const NANOSECONDS: u8 = 9;

const NAME_IPV4: u16 = 1;

pub(super) struct Blocks<'w> {
    out: &'w mut dyn Write,
    body: Vec<u8>,
}

impl<'w> Blocks<'w> {
    pub(super) fn begin(out: &'w mut dyn Write, title: &str) -> io::Result<Self> {
        let mut blocks = Self { out, body: Vec::new() };
        blocks.body.extend(BYTE_ORDER.to_le_bytes());
        blocks.body.extend(1_u16.to_le_bytes());
        blocks.body.extend(0_u16.to_le_bytes());
        // The section's length is not told: whoever reads goes on to the end.
        blocks.body.extend(u64::MAX.to_le_bytes());
        blocks.record(OPTION_COMMENT, title.as_bytes());
        blocks.record(OPTION_APPLICATION, concat!("ferret ", env!("CARGO_PKG_VERSION")).as_bytes());
        blocks.finish(SECTION)?;
        Ok(blocks)
    }

    /// Describes the next interface; they are numbered from 0.
    pub(super) fn interface(&mut self, name: &str) -> io::Result<()> {
        self.body.extend(LINK_RAW.to_le_bytes());
        self.body.extend([0; 2]);
        // Packets are never cut short.
        self.body.extend(0_u32.to_le_bytes());
        self.record(OPTION_INTERFACE_NAME, name.as_bytes());
        self.record(OPTION_RESOLUTION, &[NANOSECONDS]);
        self.finish(INTERFACE)
    }

    pub(super) fn names<'a>(&mut self, names: impl Iterator<Item = (Ipv4Addr, &'a str)>) -> io::Result<()> {
        for (address, name) in names {
            let mut value = address.octets().to_vec();
            value.extend(name.as_bytes());
            value.push(0);
            self.record(NAME_IPV4, &value);
        }
        self.body.extend([0; 4]);
        write_block(self.out, NAMES, &mut self.body)
    }

    pub(super) fn packet(&mut self, interface: u32, at: u64, data: &[u8], comment: Option<&str>) -> io::Result<()> {
        let length = data.len() as u32;
        for word in [interface, (at >> 32) as u32, at as u32, length, length] {
            self.body.extend(word.to_le_bytes());
        }
        self.body.extend(data);
        self.pad();
        match comment {
            Some(comment) => {
                self.record(OPTION_COMMENT, comment.as_bytes());
                self.finish(ENHANCED_PACKET)
            }
            None => write_block(self.out, ENHANCED_PACKET, &mut self.body),
        }
    }

    /// An option, or a record of names: they have one shape.
    fn record(&mut self, code: u16, value: &[u8]) {
        self.body.extend(code.to_le_bytes());
        self.body.extend((value.len() as u16).to_le_bytes());
        self.body.extend(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    /// Ends the options, and the block.
    fn finish(&mut self, kind: u32) -> io::Result<()> {
        self.body.extend([0; 4]);
        write_block(self.out, kind, &mut self.body)
    }
}

fn write_block(out: &mut dyn Write, kind: u32, body: &mut Vec<u8>) -> io::Result<()> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)?;
    body.clear();
    Ok(())
}
