//! Values that stand alone in an array: integers, uuids and strings.

use super::{DecodeError, EncodeError, Reader, Str, Uuid, Writer};

/// An array element that is not a struct.
pub trait Plain: Sized {
    /// Fewest bytes it takes on the wire.
    const SIZE_MIN: usize;
    /// Reads one.
    fn read(reader: &mut Reader, flexible: bool) -> Result<Self, DecodeError>;
    /// Writes one.
    fn write(&self, writer: &mut Writer, flexible: bool) -> Result<(), EncodeError>;
}

macro_rules! fixed {
    ($($type:ty: $method:ident),*) => {$(
        impl Plain for $type {
            const SIZE_MIN: usize = size_of::<$type>();

            fn read(reader: &mut Reader, _: bool) -> Result<Self, DecodeError> {
                reader.$method()
            }

            fn write(&self, writer: &mut Writer, _: bool) -> Result<(), EncodeError> {
                writer.$method(*self);
                Ok(())
            }
        }
    )*};
}

fixed!(i8: i8, i16: i16, i32: i32, i64: i64, Uuid: uuid);

impl Plain for Str {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, flexible: bool) -> Result<Self, DecodeError> {
        reader.string(flexible)
    }

    fn write(&self, writer: &mut Writer, flexible: bool) -> Result<(), EncodeError> {
        writer.string(self, flexible)
    }
}
