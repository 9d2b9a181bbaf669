//! One bit for each page: which were reached.

/// A set of page numbers below a bound.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    len: u64,
}

impl Bitmap {
    /// No member yet. The caller has checked that the file is as long as `len` pages.
    pub(crate) fn new(len: u64) -> Self {
        let words = usize::try_from(len.div_ceil(64)).unwrap_or(usize::MAX);
        Self { words: vec![0; words], len }
    }

    fn place(&self, number: u64) -> Option<(usize, u64)> {
        (number < self.len)
            .then(|| (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64)))
    }

    /// Adds a number; `false` if it was there already or is out of bounds.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let Some((word, bit)) = self.place(number) else { return false };
        let Some(word) = self.words.get_mut(word) else { return false };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.place(number)
            .and_then(|(word, bit)| Some(self.words.get(word)? & bit != 0))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_added_once_and_within_bounds() {
        let mut bitmap = Bitmap::new(70);
        assert!(bitmap.insert(0) && bitmap.insert(69) && bitmap.insert(64));
        assert!(!bitmap.insert(69) && !bitmap.insert(70) && !bitmap.insert(u64::MAX));
        let members: Vec<u64> = (0..100).filter(|&number| bitmap.contains(number)).collect();
        assert_eq!(members, [0, 64, 69]);
    }
}
