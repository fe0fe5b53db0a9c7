//! Readers of statsd lines that accept nothing but what the documents allow.

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub value: f64,
    pub kind: String,
    /// The sample rate as it stands in the line; 1 when there is none.
    pub rate: f64,
    pub tags: Vec<(String, String)>,
}

/// All lines of some datagrams.
pub struct Lines(Vec<Line>);

impl Lines {
    /// Reads datagrams, each of which has to be valid as a whole.
    #[track_caller]
    pub fn parse(datagrams: &[String], line: fn(&str) -> Result<Line, &'static str>) -> Self {
        let mut lines = Vec::new();
        for datagram in datagrams {
            for text in datagram.strip_suffix('\n').unwrap_or(datagram).split('\n') {
                match line(text) {
                    Ok(line) => lines.push(line),
                    Err(problem) => panic!("{problem}: {text:?} in {datagram:?}"),
                }
            }
        }
        Self(lines)
    }

    /// The lines with this name and exactly these tags.
    pub fn of(&self, name: &str, tags: &[(&str, &str)]) -> Vec<&Line> {
        let has_tags = |line: &&Line| {
            line.tags.len() == tags.len()
                && tags
                    .iter()
                    .all(|(key, value)| line.tags.iter().any(|(k, v)| k == key && v == value))
        };
        self.0
            .iter()
            .filter(|line| line.name == name)
            .filter(has_tags)
            .collect()
    }
}

impl Line {
    /// `name:value|type[|@rate][|#key:value,...]`, with the types that Narrows may send.
    pub fn dogstatsd(text: &str) -> Result<Self, &'static str> {
        let mut line = Self::begin(text, &["c", "g", "d"])?;
        let mut rest = text.split('|').skip(2).peekable();
        if let Some(rate) = rest.next_if(|part| part.starts_with('@')) {
            line.rate = number(&rate[1..])?;
            if !(line.rate > 0.0 && line.rate <= 1.0) {
                return Err("a sample rate is above 0 and at most 1");
            }
            if line.kind == "g" {
                return Err("a gauge has no sample rate");
            }
        }
        if let Some(tags) = rest.next_if(|part| part.starts_with('#')) {
            line.tags = tags[1..].split(',').map(tag).collect::<Result<_, _>>()?;
        }
        match rest.next() {
            None => Ok(line),
            Some(_) => Err("something follows that DogStatsD does not know"),
        }
    }

    /// `name:value|type`, as the original daemon reads it.
    pub fn plain(text: &str) -> Result<Self, &'static str> {
        let line = Self::begin(text, &["c", "g"])?;
        match text.split('|').count() {
            2 => Ok(line),
            _ => Err("something follows the type"),
        }
    }

    /// The weight that a reader gives this line who cuts the decimals of 1/rate off.
    pub fn weight_cut(&self) -> u64 {
        (1.0 / self.rate) as u64
    }

    /// The weight that a reader gives this line who rounds 1/rate.
    pub fn weight_rounded(&self) -> u64 {
        (1.0 / self.rate).round() as u64
    }

    fn begin(text: &str, kinds: &[&str]) -> Result<Self, &'static str> {
        let (name, rest) = text.split_once(':').ok_or("no value")?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let levels_are_words = name
            .split('.')
            .all(|level| !level.is_empty() && level.chars().all(word));
        if !levels_are_words || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err("a name is words with dots between");
        }
        let (value, rest) = rest.split_once('|').ok_or("no type")?;
        let kind = rest.split('|').next().unwrap_or_default();
        if !kinds.contains(&kind) {
            return Err("an unknown type");
        }
        Ok(Self {
            name: name.into(),
            value: number(value)?,
            kind: kind.into(),
            rate: 1.0,
            tags: Vec::new(),
        })
    }
}

/// Digits with or without decimals. A sign would make a gauge relative, and nothing here is negative.
fn number(text: &str) -> Result<f64, &'static str> {
    let is_number = text
        .split('.')
        .all(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    match text.parse() {
        Ok(number) if is_number => Ok(number),
        _ => Err("no number"),
    }
}

fn tag(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once(':').ok_or("a tag without a value")?;
    let safe = |c: char| c.is_ascii_graphic() && !",|#@\"\\".contains(c);
    match !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && !value.is_empty()
        && value.chars().all(safe)
    {
        true => Ok((key.into(), value.into())),
        false => Err("a tag that another reader could take for something else"),
    }
}
