//! Connections by a small number, which is their token at the poll. A number that was left is used again.

/// Things by number.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    all: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// A number that nothing has; `put` something there before asking again.
    pub(crate) fn vacant(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        })
    }

    pub(crate) fn put(&mut self, index: usize, thing: T) {
        self.all[index] = Some(thing);
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.all.get_mut(index)?.as_mut()
    }

    /// Drops all of a kind.
    pub(crate) fn remove_all(&mut self, is_one: impl Fn(&T) -> bool) {
        for index in 0..self.all.len() {
            if self.all[index].as_ref().is_some_and(&is_one) {
                self.remove(index);
            }
        }
    }

    /// Drops it, if it is there.
    pub(crate) fn remove(&mut self, index: usize) {
        if self.all.get_mut(index).and_then(Option::take).is_some() {
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_once_and_only_when_it_was_left() {
        let mut slots = Slots::default();
        for name in ["a", "b"] {
            let index = slots.vacant();
            slots.put(index, name);
        }
        slots.remove(0);
        slots.remove(0);
        assert_eq!(slots.get_mut(0), None);
        assert_eq!((slots.vacant(), slots.vacant()), (0, 2));
        assert_eq!(slots.get_mut(1), Some(&mut "b"));
        slots.put(0, "b");
        slots.remove_all(|name| *name == "b");
        assert!([0, 1].map(|index| slots.get_mut(index).is_none()) == [true; 2]);
    }
}
