//! What a tool is: its name, what it says of itself, what it takes, and what it does.

use std::sync::{Arc, OnceLock};

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::model::{JsonObject, MetaObject, ToolAnnotations};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    answer::Fields,
    config::Toolset,
    server::{call::Call, tool_error::ToolError},
};

type Handler = Arc<
    dyn Fn(Call, Map<String, Value>) -> BoxFuture<'static, Result<Fields, ToolError>> + Send + Sync,
>;

/// Whether a tool only reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Reads,
    Creates,
}

/// One tool of the catalogue.
#[derive(Clone)]
pub struct Tool {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub toolset: Toolset,
    pub access: Access,
    /// The `ui://` resource that can show its answer.
    pub view: Option<&'static str>,
    output: fn() -> Value,
    input: fn() -> Map<String, Value>,
    schema: OnceLock<Arc<JsonObject>>,
    handler: Handler,
}

impl Tool {
    /// A tool that reads. `output` is the JSON Schema of its answer.
    pub fn read<A, F, Answer>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
        output: fn() -> Value,
        handler: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        F: Fn(Call, A) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<Fields, ToolError>> + Send + 'static,
    {
        Self {
            name,
            title,
            description,
            toolset: Toolset::Core,
            access: Access::Reads,
            view: None,
            output,
            input: input_schema::<A>,
            schema: OnceLock::new(),
            handler: Arc::new(move |call, arguments| {
                match serde_json::from_value::<A>(Value::Object(arguments)) {
                    Ok(arguments) => handler(call, arguments).boxed(),
                    Err(problem) => {
                        let refused = ToolError::other(
                            "invalid_argument",
                            format!("the arguments cannot be read: {problem}"),
                        );
                        std::future::ready(Err(refused)).boxed()
                    }
                }
            }),
        }
    }

    /// A tool that creates a record.
    pub fn create<A, F, Answer>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
        output: fn() -> Value,
        handler: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        F: Fn(Call, A) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<Fields, ToolError>> + Send + 'static,
    {
        Self {
            access: Access::Creates,
            ..Self::read(name, title, description, output, handler)
        }
    }

    #[must_use]
    pub fn in_toolset(self, toolset: Toolset) -> Self {
        Self { toolset, ..self }
    }

    #[must_use]
    pub fn with_view(self, uri: &'static str) -> Self {
        Self {
            view: Some(uri),
            ..self
        }
    }

    pub async fn run(
        &self,
        call: Call,
        arguments: Map<String, Value>,
    ) -> Result<Fields, ToolError> {
        (self.handler)(call, arguments).await
    }

    /// The JSON Schema of its arguments.
    pub fn schema(&self) -> &Arc<JsonObject> {
        self.schema.get_or_init(|| Arc::new((self.input)()))
    }

    /// As `tools/list` sends it.
    pub fn definition(&self) -> rmcp::model::Tool {
        let reads = self.access == Access::Reads;
        // A repeated read changes nothing; a repeated create makes a second record once ten minutes are over.
        let annotations =
            ToolAnnotations::from_raw(None, Some(reads), Some(false), Some(reads), Some(false));
        let mut tool =
            rmcp::model::Tool::new(self.name, self.description, Arc::clone(self.schema()));
        tool.title = Some(self.title.to_owned());
        tool.annotations = Some(annotations);
        if let Value::Object(output) = (self.output)() {
            tool.output_schema = Some(Arc::new(output));
        }
        tool.meta = self.view.map(view_meta);
        tool
    }
}

/// Both spellings of the link from a tool to its MCP App view.
fn view_meta(uri: &str) -> MetaObject {
    let mut meta = JsonObject::new();
    meta.insert("ui".to_owned(), json!({"resourceUri": uri}));
    meta.insert("ui/resourceUri".to_owned(), json!(uri));
    MetaObject(meta)
}

/// A schema that every client's model API accepts: flat, no references, no unions, no odd formats.
fn input_schema<A: JsonSchema>() -> Map<String, Value> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let schema = settings.into_generator().into_root_schema_for::<A>();
    let mut schema = match schema.to_value() {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    schema.remove("title");
    schema.remove("description");
    schema.entry("properties").or_insert_with(|| json!({}));
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            simplify(property);
        }
    }
    schema
}

fn simplify(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        return;
    };
    // An optional argument is left out; null is never needed.
    if let Some(Value::Array(types)) = fields.get("type") {
        let kept = types.iter().find(|kind| *kind != "null").cloned();
        fields.insert("type".to_owned(), kept.unwrap_or(json!("string")));
    }
    if let Some(Value::Array(choices)) = fields.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    if let Some(Value::Array(choices)) = fields.remove("anyOf") {
        let kept = choices
            .into_iter()
            .find(|choice| choice.get("type") != Some(&json!("null")));
        if let Some(Value::Object(kept)) = kept {
            for (name, value) in kept {
                fields.entry(name).or_insert(value);
            }
        }
        simplify(schema);
        return;
    }
    for noise in ["format", "default", "title", "$schema"] {
        fields.remove(noise);
    }
    for deeper in ["items", "properties"] {
        match fields.get_mut(deeper) {
            Some(Value::Object(properties)) if deeper == "properties" => {
                properties.values_mut().for_each(simplify);
            }
            Some(items) => simplify(items),
            None => {}
        }
    }
    if fields.get("type") == Some(&json!("object")) {
        fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

/// The output schema of a list: its rows, how many there are, and the cursor.
///
/// Nothing is required: some clients hold the structured part of an error against the schema too.
pub fn list_output(plural: &'static str) -> Value {
    json!({
        "type": "object",
        "properties": {
            plural: {"type": "array", "items": {"type": "object"}},
            "total": {"type": "integer"},
            "next_cursor": {"type": "string"}
        }
    })
}

/// The output schema of one record, which is known by its id.
pub fn record_output(id: &'static str) -> Value {
    json!({"type": "object", "properties": {id: {"type": "integer"}}})
}
