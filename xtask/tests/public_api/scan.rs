//! Finds the paths in a crate's public signatures that lead into other crates.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{
    Attribute, Field, Fields, File, ImplItem, Item, ItemImpl, Path, TraitItem, Type, UseTree,
    Visibility,
};

/// One source file.
pub(crate) struct Source {
    name: String,
    file: File,
}

impl Source {
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), file }
    }
}

/// Every foreign path that is not allowed, as `file: item: path`, in the order of the source.
pub(crate) fn violations(
    sources: &[Source],
    dependencies: &BTreeSet<String>,
    allowed: &[&str],
) -> Vec<String> {
    let mut names = Names::default();
    for source in sources {
        names.declare(&source.file.items);
    }
    let mut found = Vec::new();
    for source in sources {
        let mut imports = BTreeMap::new();
        import_all(&source.file.items, &mut imports);
        let mut scan =
            Scan { source, names: &names, imports, dependencies, allowed, found: &mut found };
        scan.items(&source.file.items);
    }
    found
}

/// What a crate declares, by name alone: modules are not told apart.
#[derive(Default)]
struct Names {
    public: BTreeSet<String>,
    private_traits: BTreeSet<String>,
}

impl Names {
    fn declare(&mut self, items: &[Item]) {
        for item in items {
            let (name, visibility) = match item {
                Item::Struct(item) => (&item.ident, &item.vis),
                Item::Enum(item) => (&item.ident, &item.vis),
                Item::Trait(item) => (&item.ident, &item.vis),
                Item::Type(item) => (&item.ident, &item.vis),
                Item::Mod(module) => {
                    if let Some((_, items)) = &module.content {
                        self.declare(items);
                    }
                    continue;
                }
                _ => continue,
            };
            if is_public(visibility) {
                self.public.insert(name.to_string());
            } else if matches!(item, Item::Trait(_)) {
                self.private_traits.insert(name.to_string());
            }
        }
    }
}

/// The local names of what a file imports, or calls otherwise by a type alias, and the paths behind them.
fn import_all(items: &[Item], imports: &mut BTreeMap<String, Vec<String>>) {
    for item in items {
        match item {
            Item::Use(item) => import(&item.tree, &mut Vec::new(), &mut |name, path| {
                imports.insert(name, path);
            }),
            Item::Type(item) if !is_public(&item.vis) => {
                if let Type::Path(path) = &*item.ty {
                    imports.insert(item.ident.to_string(), segments(&path.path));
                }
            }
            Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    import_all(items, imports);
                }
            }
            _ => {}
        }
    }
}

/// Calls `each` with the local name and the path of every leaf of a `use`.
fn import(tree: &UseTree, prefix: &mut Vec<String>, each: &mut impl FnMut(String, Vec<String>)) {
    let mut leaf = |name: String, last: Option<String>| {
        let path = prefix.iter().cloned().chain(last).collect();
        each(name, path);
    };
    match tree {
        UseTree::Name(name) if name.ident == "self" => {
            leaf(prefix.last().cloned().unwrap_or_default(), None);
        }
        UseTree::Name(name) => leaf(name.ident.to_string(), Some(name.ident.to_string())),
        UseTree::Rename(rename) => leaf(rename.rename.to_string(), Some(rename.ident.to_string())),
        UseTree::Glob(_) => leaf("*".to_owned(), Some("*".to_owned())),
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            import(&path.tree, prefix, each);
            prefix.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                import(tree, prefix, each);
            }
        }
    }
}

struct Scan<'a> {
    source: &'a Source,
    names: &'a Names,
    imports: BTreeMap<String, Vec<String>>,
    dependencies: &'a BTreeSet<String>,
    allowed: &'a [&'a str],
    found: &'a mut Vec<String>,
}

impl Scan<'_> {
    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Fn(item) if is_public(&item.vis) => {
                self.report(&format!("fn {}", item.sig.ident), |paths| {
                    paths.visit_signature(&item.sig)
                });
            }
            Item::Struct(item) if is_public(&item.vis) => {
                self.report(&format!("struct {}", item.ident), |paths| {
                    paths.visit_generics(&item.generics);
                    for field in public_fields(&item.fields) {
                        paths.visit_type(&field.ty);
                    }
                });
            }
            Item::Enum(item) if is_public(&item.vis) => {
                self.report(&format!("enum {}", item.ident), |paths| paths.visit_item_enum(item));
            }
            Item::Trait(item) if is_public(&item.vis) => {
                self.report(&format!("trait {}", item.ident), |paths| {
                    paths.visit_generics(&item.generics);
                    item.supertraits.iter().for_each(|bound| paths.visit_type_param_bound(bound));
                    for item in &item.items {
                        match item {
                            TraitItem::Fn(item) => paths.visit_signature(&item.sig),
                            item => paths.visit_trait_item(item),
                        }
                    }
                });
            }
            Item::Type(item) if is_public(&item.vis) => {
                self.report(&format!("type {}", item.ident), |paths| paths.visit_item_type(item));
            }
            Item::Const(item) if is_public(&item.vis) => {
                self.report(&format!("const {}", item.ident), |paths| paths.visit_type(&item.ty));
            }
            Item::Static(item) if is_public(&item.vis) => {
                self.report(&format!("static {}", item.ident), |paths| paths.visit_type(&item.ty));
            }
            Item::Impl(item) => self.implementation(item),
            Item::Use(item) if is_public(&item.vis) => {
                let mut paths = Vec::new();
                import(&item.tree, &mut Vec::new(), &mut |_, path| paths.push(path));
                self.check("use", paths);
            }
            Item::Mod(module) if !is_for_tests(&module.attrs) => {
                if let Some((_, items)) = &module.content {
                    self.items(items);
                }
            }
            _ => {}
        }
    }

    /// A trait's implementation is as public as the trait and the type are; an inherent one says so itself.
    fn implementation(&mut self, item: &ItemImpl) {
        let Type::Path(own) = &*item.self_ty else { return };
        let own = last_segment(&own.path);
        if !self.names.public.contains(&own) || is_for_tests(&item.attrs) {
            return;
        }
        if let Some((of, _)) = &item.trait_
            && self.names.private_traits.contains(&last_segment(of))
        {
            return;
        }
        self.report(&format!("impl {own}"), |paths| {
            paths.visit_generics(&item.generics);
            paths.visit_type(&item.self_ty);
            if let Some((of, _)) = &item.trait_ {
                paths.visit_path(of);
            }
            for each in &item.items {
                let of_trait = item.trait_.is_some();
                match each {
                    ImplItem::Fn(item) if of_trait || is_public(&item.vis) => {
                        paths.visit_signature(&item.sig);
                    }
                    ImplItem::Type(item) if of_trait || is_public(&item.vis) => {
                        paths.visit_type(&item.ty)
                    }
                    ImplItem::Const(item) if of_trait || is_public(&item.vis) => {
                        paths.visit_type(&item.ty)
                    }
                    _ => {}
                }
            }
        });
    }

    fn report(&mut self, item: &str, visit: impl FnOnce(&mut Paths)) {
        let mut paths = Paths::default();
        visit(&mut paths);
        self.check(item, paths.found);
    }

    fn check(&mut self, item: &str, paths: Vec<Vec<String>>) {
        let mut reported = BTreeSet::new();
        for mut path in paths {
            if let Some(import) = path.first().and_then(|first| self.imports.get(first)) {
                path.splice(..1, import.iter().cloned());
            }
            let text = path.join("::");
            if self.dependencies.contains(&path[0])
                && !self.is_allowed(&text)
                && reported.insert(text.clone())
            {
                self.found.push(format!("{}: {item}: {text}", self.source.name));
            }
        }
    }

    fn is_allowed(&self, path: &str) -> bool {
        let fits = |allowed: &&str| match allowed.strip_suffix("::") {
            Some(whole) => path == whole || path.starts_with(*allowed),
            None => path == *allowed,
        };
        self.allowed.iter().any(fits)
    }
}

/// Collects the paths of a piece of syntax, but not those of attributes.
#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast Path) {
        self.found.push(segments(path));
        visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn segments(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn last_segment(path: &Path) -> String {
    segments(path).pop().unwrap_or_default()
}

fn public_fields(fields: &Fields) -> impl Iterator<Item = &Field> {
    fields.iter().filter(|field| is_public(&field.vis))
}

const fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}
