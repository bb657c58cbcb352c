//! One column of numbers as bytes: differences as variable-length integers, which deflate then makes small.

/// Appends numbers as the differences that the page adds up again.
#[derive(Default)]
pub(super) struct Column {
    bytes: Vec<u8>,
    rows: usize,
    last: i64,
}

impl Column {
    /// The number itself. Small numbers take one byte.
    pub(super) fn plain(&mut self, value: u64) {
        self.varint(value);
    }

    /// The difference from the row before.
    pub(super) fn delta(&mut self, value: u64) {
        let value = value.cast_signed();
        self.difference(value.wrapping_sub(self.last));
        self.last = value;
    }

    /// The difference from `last`, which becomes this value: for numbers that count on per source.
    pub(super) fn delta_to(&mut self, last: &mut i64, value: u64) {
        let value = value.cast_signed();
        self.difference(value.wrapping_sub(*last));
        *last = value;
    }

    /// Zigzag: small differences of either sign are small numbers.
    fn difference(&mut self, by: i64) {
        self.varint(((by << 1) ^ (by >> 63)).cast_unsigned());
    }

    fn varint(&mut self, mut value: u64) {
        self.rows += 1;
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_count_on_take_one_byte_each() {
        let mut column = Column::default();
        for value in 1_000_000..1_000_100 {
            column.delta(value);
        }
        assert_eq!(column.rows(), 100);
        assert_eq!(column.into_bytes().len(), 3 + 99);
    }

    #[test]
    fn differences_of_both_signs_are_small() {
        let mut column = Column::default();
        for value in [5, 4, 6, 4] {
            column.delta(value);
        }
        assert_eq!(column.into_bytes(), [10, 1, 4, 3]);
    }

    #[test]
    fn sources_count_apart() {
        let (mut column, mut one, mut other) = (Column::default(), 0, 0);
        for (i, value) in [100, 7, 101, 8].into_iter().enumerate() {
            column.delta_to(if i % 2 == 0 { &mut one } else { &mut other }, value);
        }
        assert_eq!(column.into_bytes(), [0xc8, 1, 14, 2, 2]);
    }
}
