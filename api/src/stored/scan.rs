//! One pass over canonical JSON that picks out the header and skips the rest.

use super::{Header, OwnerReference};
use crate::json::{Error, Scanner};

pub(super) struct Scanned {
    pub(super) header: Header,
    pub(super) body_at: usize,
    pub(super) metadata_at: usize,
}

/// Reads the header. Canonical text has kind, apiVersion and metadata in front, in this order.
pub(super) fn scan(json: &[u8], fields: &[&str]) -> Result<Scanned, Error> {
    let text = std::str::from_utf8(json).map_err(|_| Error::Text("stored value is no UTF-8".into()))?;
    let mut scan = Scanner::new(text);
    let mut header = Header { fields: fields.iter().map(|_| Box::default()).collect(), ..Header::default() };
    let wanted: Vec<(&str, usize)> = fields.iter().enumerate().map(|(index, path)| (*path, index)).collect();
    let (mut body_at, mut metadata_at) = (0, 0);
    if scan.peek()? != b'{' {
        return Err(scan.unexpected("looking for beginning of object"));
    }
    let mut more = scan.open(b'}')?;
    while more {
        scan.peek()?;
        let key_at = scan.position();
        match &*scan.key()? {
            "kind" | "apiVersion" => scan.pass()?,
            "metadata" => {
                body_at = key_at;
                if scan.peek()? != b'{' {
                    return Err(scan.unexpected("looking for beginning of metadata"));
                }
                metadata_at = scan.position() + 1;
                metadata(&mut scan, &mut header)?;
            }
            key => {
                let inner = below(&wanted, key);
                if inner.is_empty() { scan.pass()? } else { select(&mut scan, &inner, &mut header.fields)? }
            }
        }
        more = scan.more(b'}')?;
    }
    scan.end()?;
    if metadata_at == 0 {
        return Err(Error::Text("stored value has no metadata".into()));
    }
    for (path, index) in wanted {
        match path {
            "metadata.name" => header.fields[index] = header.name.clone(),
            "metadata.namespace" => header.fields[index] = header.namespace.clone(),
            _ => {}
        }
    }
    Ok(Scanned { header, body_at, metadata_at })
}

/// The paths below `key`, without it.
fn below<'p>(wanted: &[(&'p str, usize)], key: &str) -> Vec<(&'p str, usize)> {
    let inner = |(path, index): &(&'p str, usize)| {
        let rest = path.strip_prefix(key)?;
        if rest.is_empty() { Some(("", *index)) } else { Some((rest.strip_prefix('.')?, *index)) }
    };
    wanted.iter().filter_map(inner).collect()
}

/// Notes the scalars at the wanted paths of the value at the cursor.
fn select(scan: &mut Scanner<'_>, wanted: &[(&str, usize)], fields: &mut [Box<str>]) -> Result<(), Error> {
    if scan.peek()? != b'{' {
        let text: Box<str> = match scan.peek()? {
            b'"' => scan.string()?.into(),
            b'[' | b'n' => scan.skip().map(|_| Box::default())?,
            _ => scan.skip()?.into(),
        };
        for (_, index) in wanted.iter().filter(|(path, _)| path.is_empty()) {
            fields[*index] = text.clone();
        }
        return Ok(());
    }
    let mut more = scan.open(b'}')?;
    while more {
        let inner = below(wanted, &scan.key()?);
        if inner.is_empty() {
            scan.pass()?
        } else {
            select(scan, &inner, fields)?
        }
        more = scan.more(b'}')?;
    }
    Ok(())
}

fn metadata(scan: &mut Scanner<'_>, header: &mut Header) -> Result<(), Error> {
    members(scan, |scan, key| {
        match key {
            "name" => header.name = text(scan)?,
            "namespace" => header.namespace = text(scan)?,
            "uid" => header.uid = text(scan)?,
            "deletionTimestamp" => {
                header.deleting = scan.peek()? == b'"';
                scan.skip()?;
            }
            "labels" => {
                let mut labels = vec![];
                members(scan, |scan, key| {
                    labels.push((key.into(), text(scan)?));
                    Ok(())
                })?;
                labels.sort_unstable();
                header.labels = labels.into();
            }
            "ownerReferences" => header.owner_references = owners(scan)?,
            _ => scan.pass()?,
        }
        Ok(())
    })
}

fn owners(scan: &mut Scanner<'_>) -> Result<Box<[OwnerReference]>, Error> {
    let mut owners = vec![];
    if scan.peek()? != b'[' {
        return scan.skip().map(|_| Box::default());
    }
    let mut more = scan.open(b']')?;
    while more {
        let mut owner = OwnerReference::default();
        members(scan, |scan, key| {
            match key {
                "apiVersion" => owner.api_version = text(scan)?,
                "kind" => owner.kind = text(scan)?,
                "name" => owner.name = text(scan)?,
                "uid" => owner.uid = text(scan)?,
                "controller" => owner.controller = scan.skip()? == "true",
                "blockOwnerDeletion" => owner.block_owner_deletion = scan.skip()? == "true",
                _ => scan.pass()?,
            }
            Ok(())
        })?;
        owners.push(owner);
        more = scan.more(b']')?;
    }
    Ok(owners.into())
}

/// Walks the members of the object at the cursor; null has none.
fn members<'a>(
    scan: &mut Scanner<'a>,
    mut member: impl FnMut(&mut Scanner<'a>, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    match scan.peek()? {
        b'{' => {}
        b'n' => return scan.literal("null"),
        _ => return Err(scan.unexpected("looking for beginning of object")),
    }
    let mut more = scan.open(b'}')?;
    while more {
        let key = scan.key()?;
        member(scan, &key)?;
        more = scan.more(b'}')?;
    }
    Ok(())
}

fn text(scan: &mut Scanner<'_>) -> Result<Box<str>, Error> {
    match scan.peek()? {
        b'"' => Ok(scan.string()?.into()),
        _ => scan.skip().map(|_| Box::default()),
    }
}
