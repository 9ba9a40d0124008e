//! A source file as the rules see it: the paths and names that its shipped code uses, by line.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::HashMap;
use std::path::Path;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A file of the project, parsed.
pub(crate) struct Source {
    /// Relative to the repository, as `src/nft/wire.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Full paths that the code outside `cfg(test)` names, with aliases and `super` resolved.
    pub(crate) uses: Vec<Named>,
    /// Names that the code outside `cfg(test)` gives: (kind, name).
    pub(crate) gives: Vec<(Kind, Named)>,
    /// Methods that it calls.
    pub(crate) calls: Vec<Named>,
    /// Lines with the word `unsafe`, in tests too.
    pub(crate) unsafes: Vec<usize>,
}

/// A path or a name and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Module,
    Type,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut reader = Reader { module: module_of(path), ..Reader::default() };
        file.items.iter().for_each(|item| reader.note_aliases(item));
        if !is_test_file(path) {
            reader.visit_file(&file);
        }
        let mut unsafes = Vec::new();
        words(text.parse().unwrap_or_default(), &mut |word, line| {
            if word == "unsafe" {
                unsafes.push(line);
            }
        });
        let Reader { uses, gives, calls, .. } = reader;
        Self { path: path.into(), text: text.into(), uses, gives, calls, unsafes }
    }
}

/// Every Rust file under these folders of the repository.
pub(crate) fn sources(root: &Path, folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.file_name().unwrap().to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push(Source::parse(&name, &std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// `src/nft/wire.rs` -> `crate::nft::wire`.
pub(crate) fn module_of(path: &str) -> String {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "::");
    let inner = inner.trim_end_matches("::mod");
    if matches!(inner, "lib" | "main" | "mod") { "crate".into() } else { format!("crate::{inner}") }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

fn only_in_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// Every identifier of a token stream, with its line.
fn words(stream: TokenStream, see: &mut impl FnMut(&str, usize)) {
    for token in stream {
        match token {
            TokenTree::Group(group) => words(group.stream(), see),
            TokenTree::Ident(ident) => see(&ident.to_string(), ident.span().start().line),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[derive(Default)]
struct Reader {
    module: String,
    aliases: HashMap<String, String>,
    uses: Vec<Named>,
    gives: Vec<(Kind, Named)>,
    calls: Vec<Named>,
}

impl Reader {
    fn note_aliases(&mut self, item: &Item) {
        if let Item::Use(item) = item {
            if only_in_tests(&item.attrs) {
                return;
            }
            let mut leaves = Vec::new();
            leaves_of(&item.tree, String::new(), &mut leaves);
            for (path, alias, _) in leaves {
                let path = self.absolute(&path);
                self.aliases.insert(alias, path);
            }
        }
    }

    /// `crate`, `self`, `super` and imported first segments made full.
    fn absolute(&self, path: &str) -> String {
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        let join = |base: &str, rest: &str| if rest.is_empty() { base.to_owned() } else { format!("{base}::{rest}") };
        match first {
            "groundwork" => join("crate", rest),
            "self" => join(&self.module, rest),
            "super" => {
                let parent = self.module.rsplit_once("::").map_or("crate", |(parent, _)| parent);
                let up = Self { module: parent.into(), ..Self::default() };
                if rest.split("::").next() == Some("super") { up.absolute(rest) } else { join(parent, rest) }
            }
            _ => match self.aliases.get(first) {
                Some(full) if full != first => join(full, rest),
                _ => path.to_owned(),
            },
        }
    }

    /// What stands inside a macro is tokens, not syntax: its words joined by `::` are its paths.
    fn tokens(&mut self, stream: TokenStream) {
        let (mut path, mut colons) = (String::new(), 0);
        for token in stream {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    path = if colons == 2 { format!("{path}::{ident}") } else { ident.to_string() };
                    colons = 0;
                    self.uses.push(Named { name: self.absolute(&path), line: ident.span().start().line });
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => (path, colons) = (String::new(), 0),
            }
        }
    }

    fn give(&mut self, kind: Kind, ident: &syn::Ident) {
        self.gives.push((kind, Named { name: ident.to_string(), line: ident.span().start().line }));
    }
}

/// The (path, alias, line) of each name that a `use` brings in.
fn leaves_of(tree: &UseTree, prefix: String, leaves: &mut Vec<(String, String, usize)>) {
    let under = |ident: &syn::Ident| if prefix.is_empty() { ident.to_string() } else { format!("{prefix}::{ident}") };
    match tree {
        UseTree::Path(path) => leaves_of(&path.tree, under(&path.ident), leaves),
        UseTree::Name(name) if name.ident == "self" => {
            let alias = prefix.rsplit("::").next().unwrap_or_default().to_owned();
            leaves.push((prefix, alias, name.ident.span().start().line));
        }
        UseTree::Name(name) => {
            leaves.push((under(&name.ident), name.ident.to_string(), name.ident.span().start().line))
        }
        UseTree::Rename(name) => {
            leaves.push((under(&name.ident), name.rename.to_string(), name.ident.span().start().line));
        }
        UseTree::Glob(glob) => leaves.push((prefix, "*".into(), glob.star_token.spans[0].start().line)),
        UseTree::Group(group) => group.items.iter().for_each(|item| leaves_of(item, prefix.clone(), leaves)),
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !only_in_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        leaves_of(&item.tree, String::new(), &mut leaves);
        for (path, _, line) in leaves {
            // Not through the aliases: `use nix::x` names the crate, whatever `nix` means later on.
            let plain = Self { module: self.module.clone(), ..Self::default() };
            self.uses.push(Named { name: plain.absolute(&path), line });
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.uses.push(Named { name: self.absolute(&segments.join("::")), line });
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let line = call.method.span().start().line;
        self.calls.push(Named { name: call.method.to_string(), line });
        visit::visit_expr_method_call(self, call);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.give(Kind::Function, &signature.ident);
        visit::visit_signature(self, signature);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.give(Kind::Module, &item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.give(Kind::Type, &item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.give(Kind::Type, &item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.give(Kind::Type, &item.ident);
        visit::visit_item_trait(self, item);
    }
}
