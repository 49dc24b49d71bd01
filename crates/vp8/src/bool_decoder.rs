//! The boolean entropy decoder (RFC 6386 §7).

/// Reads bools from a partition. Past its end it reads zeros, which [`BoolDecoder::is_valid`] tells afterwards: a check at every bool
/// would cost.
pub(crate) struct BoolDecoder<'a> {
    /// The bytes that are not loaded yet.
    data: &'a [u8],
    value: u64,
    /// One less than the range of the standard: 127 to 254.
    range: u32,
    /// Bits of `value` beyond the eight that are compared; negative where there are too few.
    count: i32,
    /// Zero bytes that were read past the end.
    past_end: u32,
}

impl<'a> BoolDecoder<'a> {
    /// A decoder at the beginning of a partition.
    pub(crate) fn new(data: &'a [u8]) -> BoolDecoder<'a> {
        BoolDecoder { data, value: 0, range: 254, count: -8, past_end: 0 }
    }

    /// A bool that is false with a probability of `prob` / 256.
    #[inline(always)]
    pub(crate) fn read_bool(&mut self, prob: u8) -> bool {
        if self.count < 0 {
            self.load();
        }
        let split = (self.range * u32::from(prob)) >> 8;
        let is_set = (self.value >> self.count) as u32 > split;
        let range = if is_set {
            self.value -= u64::from(split + 1) << self.count;
            self.range - split
        } else {
            split + 1
        };
        let shift = range.leading_zeros() - 24;
        self.range = (range << shift) - 1;
        self.count -= shift as i32;
        is_set
    }

    #[inline(always)]
    fn load(&mut self) {
        if let Some((bytes, _)) = self.data.split_first_chunk::<8>() {
            self.value = self.value << 56 | u64::from_be_bytes(*bytes) >> 8;
            self.count += 56;
            self.data = &self.data[7..];
            return;
        }
        let byte = self.data.split_first().map(|(&byte, rest)| {
            self.data = rest;
            byte
        });
        self.past_end = self.past_end.saturating_add(u32::from(byte.is_none()));
        self.value = self.value << 8 | u64::from(byte.unwrap_or(0));
        self.count += 8;
    }

    /// Whether no more was read than there is, and [`BoolDecoder::fail`] was not called. Encoders may leave out one byte at the end.
    pub(crate) fn is_valid(&self) -> bool {
        self.past_end <= 1
    }

    /// Marks the partition as damaged.
    pub(crate) fn fail(&mut self) {
        self.past_end = 2;
    }

    /// A flag: a bool of probability 1/2.
    pub(crate) fn read_flag(&mut self) -> bool {
        self.read_bool(128)
    }

    /// An unsigned number of that many bits, the highest first.
    pub(crate) fn read_literal(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |number, _| number << 1 | u32::from(self.read_flag()))
    }

    /// A number of that many bits and its sign, behind a flag that says whether it is there; else 0.
    pub(crate) fn read_optional_signed(&mut self, bits: u32) -> i32 {
        if !self.read_flag() {
            return 0;
        }
        let magnitude = self.read_literal(bits) as i32;
        if self.read_flag() { -magnitude } else { magnitude }
    }
}
