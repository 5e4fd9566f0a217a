/* SPDX-License-Identifier: Apache-2.0 */
/* See onnx.h. From bytes to a model: unpack, take inputs and initializers, walk the nodes, take the outputs. */
#include "onnx/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"
#include "onnx/importer.h"
#include "onnx/scan.h"

/* ---- graph inputs and initializers ---- */

static nw_status take_initializers(nw_importer *im)
{
    const Onnx__GraphProto *graph = im->graph;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        Onnx__TensorProto *proto = graph->initializer[i];
        if (!proto->name || !proto->name[0])
            return nw_fail(im->error, NW_ERROR_DATA, "%s: an initializer has no name", im->file);
        NW_TRY(nw_define(im, proto->name,
                         &(nw_value){.kind = NW_VALUE_INITIALIZER, .tensor = NW_NONE, .initializer = proto}));
    }
    if (graph->n_sparse_initializer)
        return nw_refuse_graph(im, "sparse initializers are not supported");
    return NW_OK;
}

/** Dimensions of a graph input: [1, fixed ...]. *ok stays false after a problem was recorded. */
static nw_status read_input_shape(nw_shape *shape, bool *ok, nw_importer *im, const Onnx__ValueInfoProto *input)
{
    const char *name = input->name;
    const Onnx__TypeProto *type = input->type;
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type)
        return nw_refuse_graph(im, "input \"%.200s\": is not a tensor", name);
    if (type->tensor_type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return nw_refuse_graph(im, "input \"%.200s\": data type %d is not supported, only float32", name,
                               (int)type->tensor_type->elem_type);
    const Onnx__TensorShapeProto *dims = type->tensor_type->shape;
    if (!dims || dims->n_dim < 2 || dims->n_dim > NW_MAX_RANK)
        return nw_refuse_graph(im, "input \"%.200s\": has no shape with 2 to %d dimensions", name, NW_MAX_RANK);
    *shape = (nw_shape){.rank = (int32_t)dims->n_dim};
    for (int32_t i = 0; i < shape->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = dims->dim[i];
        const bool stated = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        const bool known = stated && dim->dim_value > 0;
        const bool named = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && dim->dim_param;
        shape->dims[i] = known ? dim->dim_value : 1;
        if (i == 0 && known && dim->dim_value != 1)
            return nw_refuse_graph(im, "input \"%.200s\": has a fixed batch of %lld; export it with batch 1 or a "
                                   "symbolic batch", name, (long long)dim->dim_value);
        if (i > 0 && !known)
            return nw_refuse_graph(im, "input \"%.200s\": dimension %d (%.60s) is not fixed; export the model with a "
                                   "fixed size", name, i, named ? dim->dim_param : "unknown");
    }
    *ok = true;
    return NW_OK;
}

static nw_status append_index(int32_t **list, int32_t *n, int32_t index, nw_error *error)
{
    int32_t *grown = realloc(*list, ((size_t)*n + 1) * sizeof(*grown));
    if (!grown)
        return nw_fail_memory(error, "importing a network");
    grown[(*n)++] = index;
    *list = grown;
    return NW_OK;
}

static nw_status take_input(nw_importer *im, const Onnx__ValueInfoProto *input)
{
    if (!input->name || !input->name[0])
        return nw_fail(im->error, NW_ERROR_DATA, "%s: an input has no name", im->file);
    const nw_value *known = nw_lookup(im, input->name);
    if (known && known->kind == NW_VALUE_INITIALIZER)
        return NW_OK; /* IR 3 lists initializers among the inputs */
    nw_shape shape;
    int64_t n = 0;
    bool ok = false;
    NW_TRY(read_input_shape(&shape, &ok, im, input));
    if (!ok)
        return nw_define(im, input->name, &(nw_value){.kind = NW_VALUE_REFUSED, .tensor = NW_NONE});
    if (!nw_shape_count(&shape, &n))
        return nw_fail(im->error, NW_ERROR_DATA, "%s: input \"%s\" has impossible dimensions", im->file, input->name);
    int32_t dims[NW_MAX_RANK];
    for (int32_t i = 0; i < shape.rank; i++)
        dims[i] = (int32_t)shape.dims[i];
    const int32_t tensor = nw_model_add_tensor(im->model, input->name, NW_TYPE_F32, shape.rank, dims);
    if (tensor == NW_NONE)
        return nw_fail_memory(im->error, "importing a network");
    NW_TRY(append_index(&im->model->inputs, &im->model->n_inputs, tensor, im->error));
    return nw_define(im, input->name, &(nw_value){.kind = NW_VALUE_ACTIVATION, .tensor = tensor});
}

/* ---- nodes ---- */

/** Finds the values of a node's inputs; initializers are decoded here, when first used. */
static nw_status resolve_inputs(nw_call *call, bool *refused, bool *constant)
{
    *refused = false;
    *constant = true;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const char *name = call->node->input[i];
        call->inputs[i] = (nw_value){.kind = NW_VALUE_ABSENT, .tensor = NW_NONE};
        if (!name[0])
            continue;
        nw_value *value = nw_lookup(call->im, name);
        if (!value)
            return nw_damaged(call, "its input \"%.120s\" is made by no earlier node", name);
        if (value->kind == NW_VALUE_INITIALIZER) {
            bool unsupported = false;
            NW_TRY(nw_constant_decode(&value->constant, call->im, value->initializer, name, &unsupported));
            value->kind = unsupported ? NW_VALUE_REFUSED : NW_VALUE_CONSTANT;
        }
        if (value->kind == NW_VALUE_REFUSED && value->unsupported_output)
            NW_TRY(nw_refuse(call, "its input \"%.120s\" is an optional output that is not supported", name));
        *refused = *refused || value->kind == NW_VALUE_REFUSED;
        *constant = *constant && value->kind == NW_VALUE_CONSTANT;
        call->inputs[i] = *value;
    }
    return NW_OK;
}

/** Records every attribute that the translation would ignore. */
static nw_status check_attributes(nw_call *call, const nw_operator *operator, bool *ok)
{
    for (size_t i = 0; i < call->node->n_attribute; i++) {
        const char *name = call->node->attribute[i]->name;
        char padded[80];
        snprintf(padded, sizeof(padded), "%.70s ", name ? name : "");
        const char *found = strstr(operator->attributes, padded);
        if (!found || (found != operator->attributes && found[-1] != ' ')) {
            *ok = false;
            NW_TRY(nw_refuse(call, "attribute %.60s is not supported", name ? name : "(unnamed)"));
        }
    }
    return NW_OK;
}

/** Checks domain, operator, attributes, number of inputs. *found stays NULL after a problem was recorded. */
static nw_status find_operator(const nw_operator **found, nw_call *call)
{
    const char *domain = call->node->domain ? call->node->domain : "";
    const nw_operator *operator = nw_operator_find(call->node->op_type ? call->node->op_type : "");
    const bool standard = !domain[0] || strcmp(domain, "ai.onnx") == 0;
    if (!standard)
        return nw_refuse(call, "operators of the domain %.60s are not supported", domain);
    if (!operator)
        return nw_refuse(call, "operator %.60s is not supported", call->op);
    bool ok = true;
    NW_TRY(check_attributes(call, operator, &ok));
    if (call->n_inputs > operator->max_inputs) {
        ok = false;
        NW_TRY(nw_refuse(call, "%d inputs are not supported", call->n_inputs));
    }
    if (ok)
        *found = operator;
    return NW_OK;
}

static nw_status translate(nw_call *call)
{
    const nw_operator *operator = NULL;
    bool refused = false, constant = false;
    NW_TRY(find_operator(&operator, call));
    NW_TRY(resolve_inputs(call, &refused, &constant));
    if (!operator || refused)
        return NW_OK;
    const int32_t n_required = operator->max_inputs == NW_VARIADIC ? call->n_inputs : operator->min_inputs;
    for (int32_t i = 0; i < n_required || i < operator->min_inputs; i++)
        if (nw_call_input(call, i)->kind == NW_VALUE_ABSENT)
            return nw_damaged(call, "its input %d is missing", i);
    nw_translate *run = constant ? operator->fold : operator->translate;
    if (!run)
        return nw_refuse(call, constant ? "is not supported on constants only"
                                        : "is supported on constants only, not on computed tensors");
    if (!constant && operator->min_inputs == 1 && call->inputs[0].kind != NW_VALUE_ACTIVATION)
        return nw_refuse(call, "is not supported on a constant with computed parameters");
    NW_TRY(run(call));
    if (call->bad_attribute)
        return nw_damaged(call, "attribute %.60s has the wrong type", call->bad_attribute);
    return NW_OK;
}

/** Gives outputs that the translation left unbound a value that stands for "not supported". */
static nw_status bind_rest(nw_call *call, int32_t problems_before)
{
    const bool silent = call->im->n_problems > problems_before || call->im->truncated;
    bool from_refused = false;
    for (int32_t i = 0; i < call->n_inputs; i++)
        from_refused = from_refused || call->inputs[i].kind == NW_VALUE_REFUSED;
    for (int32_t i = 0; i < call->n_outputs; i++) {
        const char *name = call->node->output[i];
        const nw_value value = {
            .kind = NW_VALUE_REFUSED, .tensor = NW_NONE, .unsupported_output = !silent && !from_refused};
        if (name[0] && !nw_lookup(call->im, name))
            NW_TRY(nw_define(call->im, name, &value));
    }
    return NW_OK;
}

static nw_status take_node(nw_importer *im, size_t index)
{
    const Onnx__NodeProto *node = im->graph->node[index];
    char made_up[128], op[128];
    const char *type = node->op_type ? node->op_type : "", *domain = node->domain ? node->domain : "";
    snprintf(op, sizeof(op), domain[0] && strcmp(domain, "ai.onnx") ? "%.50s::%.60s" : "%.0s%.60s", domain, type);
    snprintf(made_up, sizeof(made_up), "%.60s_%zu", type, index);
    if (node->n_output == 0)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: node %zu has no output", im->file, index);
    if (node->n_input > NW_VARIADIC || node->n_output > NW_VARIADIC)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: node %zu has too many inputs or outputs", im->file, index);
    nw_call call = {.im = im, .node = node, .op = op, .n_inputs = (int32_t)node->n_input,
                    .n_outputs = (int32_t)node->n_output};
    call.name = node->name && node->name[0] ? node->name : made_up;
    call.inputs = calloc(node->n_input + 1, sizeof(*call.inputs));
    if (!call.inputs)
        return nw_fail_memory(im->error, "importing a network");
    const int32_t problems_before = im->n_problems;
    nw_status status = translate(&call);
    if (!status)
        status = bind_rest(&call, problems_before);
    free(call.inputs);
    return status;
}

/* ---- outputs and the whole ---- */

static bool is_listed(const int32_t *list, int32_t n, int32_t index)
{
    for (int32_t i = 0; i < n; i++)
        if (list[i] == index)
            return true;
    return false;
}

static nw_status rename_tensor(nw_importer *im, int32_t tensor, const char *name)
{
    const size_t size = strlen(name) + 1;
    char *copy = malloc(size);
    if (!copy)
        return nw_fail_memory(im->error, "importing a network");
    memcpy(copy, name, size);
    free(im->model->tensors[tensor].name);
    im->model->tensors[tensor].name = copy;
    return NW_OK;
}

static nw_status take_output(nw_importer *im, const Onnx__ValueInfoProto *output)
{
    const char *name = output->name ? output->name : "";
    const nw_value *value = nw_lookup(im, name);
    nw_model *model = im->model;
    if (!value)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: output \"%s\" is made by no node", im->file, name);
    if (value->kind == NW_VALUE_REFUSED && value->unsupported_output)
        return nw_refuse_graph(im, "output \"%.200s\": is an optional output that is not supported", name);
    if (value->kind == NW_VALUE_REFUSED)
        return NW_OK;
    if (value->kind != NW_VALUE_ACTIVATION)
        return nw_refuse_graph(im, "output \"%.200s\": does not depend on the inputs", name);
    const int32_t tensor = value->tensor;
    if (is_listed(model->inputs, model->n_inputs, tensor))
        return nw_refuse_graph(im, "output \"%.200s\": is an input, unchanged", name);
    if (is_listed(model->outputs, model->n_outputs, tensor))
        return nw_refuse_graph(im, "output \"%.200s\": is another output, unchanged", name);
    if (strcmp(model->tensors[tensor].name, name) != 0) /* behind an Identity: keep the name people know */
        NW_TRY(rename_tensor(im, tensor, name));
    return append_index(&model->outputs, &model->n_outputs, tensor, im->error);
}

/** Names reach terminals, JSON and .nw files, so they are text. Protobuf-c does not check that; absent is fine here. */
static bool is_text(const char *name)
{
    return !name || nw_text_is_utf8(name, strlen(name));
}

/** Strings of protobuf-c are NULL when absent; the walk relies on names of inputs and outputs that exist. */
static nw_status check_names(nw_importer *im)
{
    const Onnx__GraphProto *graph = im->graph;
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        bool good = is_text(node->name) && is_text(node->op_type) && is_text(node->domain);
        for (size_t k = 0; good && k < node->n_input + node->n_output; k++) {
            const char *name = k < node->n_input ? node->input[k] : node->output[k - node->n_input];
            good = name && is_text(name);
        }
        if (!good)
            return nw_fail(im->error, NW_ERROR_DATA, "%s: node %zu is damaged: a name is not UTF-8", im->file, i);
    }
    for (size_t i = 0; i < graph->n_initializer + graph->n_input; i++)
        if (!is_text(i < graph->n_initializer ? graph->initializer[i]->name
                                              : graph->input[i - graph->n_initializer]->name))
            return nw_fail(im->error, NW_ERROR_DATA, "%s: the name of an initializer or input is not UTF-8", im->file);
    return NW_OK;
}

static nw_status read_opset(nw_importer *im, const Onnx__ModelProto *proto)
{
    im->opset = 0;
    for (size_t i = 0; i < proto->n_opset_import; i++) {
        const char *domain = proto->opset_import[i]->domain;
        if (!domain || !domain[0] || strcmp(domain, "ai.onnx") == 0)
            im->opset = proto->opset_import[i]->version;
    }
    if (!im->opset)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: does not state its opset", im->file);
    if (im->opset < NW_OPSET_MIN || im->opset > NW_OPSET_MAX)
        return nw_refuse_graph(im, "opset %lld is not supported, only %d to %d", (long long)im->opset, NW_OPSET_MIN,
                               NW_OPSET_MAX);
    return NW_OK;
}

static nw_status walk(nw_importer *im, const Onnx__ModelProto *proto)
{
    NW_TRY(read_opset(im, proto));
    NW_TRY(check_names(im));
    NW_TRY(take_initializers(im));
    for (size_t i = 0; i < im->graph->n_input; i++)
        NW_TRY(take_input(im, im->graph->input[i]));
    for (size_t i = 0; i < im->graph->n_node; i++)
        NW_TRY(take_node(im, i));
    if (!im->graph->n_output)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: the network has no output", im->file);
    for (size_t i = 0; i < im->graph->n_output; i++)
        NW_TRY(take_output(im, im->graph->output[i]));
    return NW_OK;
}

/** The problems in one sentence, as many as fit. */
static nw_status fail_unsupported(const nw_importer *im)
{
    char text[420];
    size_t length = 0;
    int32_t shown = 0;
    text[0] = '\0';
    for (; shown < im->n_problems; shown++) {
        const size_t size = strlen(im->problems[shown]) + 2;
        if (shown > 0 && length + size >= sizeof(text))
            break;
        length += (size_t)snprintf(text + length, sizeof(text) - length, shown ? "; %s" : "%s", im->problems[shown]);
        if (length >= sizeof(text))
            length = sizeof(text) - 1;
    }
    if (shown < im->n_problems)
        return nw_fail(im->error, NW_ERROR_UNSUPPORTED, "%.60s: %s; and %d more", im->file, text,
                       im->n_problems - shown);
    return nw_fail(im->error, NW_ERROR_UNSUPPORTED, "%.60s: %s", im->file, text);
}

/**
 * Imports the message unpacked from `size` bytes. With `listing` problems are its result, otherwise they are a failure.
 */
static nw_status import_proto(nw_model **out, char **listing, const Onnx__ModelProto *proto, size_t size,
                              const char *name, bool has_folder, nw_error *error)
{
    nw_importer im = {.file = name, .has_folder = has_folder, .error = error, .graph = proto->graph,
                      .model = nw_model_create()};
    im.emit_limit = NW_FOLD_LIMIT + (int64_t)size; /* four times the weights that fit the file */
    nw_status status = NW_OK;
    if (!im.model) {
        status = nw_fail_memory(error, "importing a network");
        goto cleanup;
    }
    status = walk(&im, proto);
    if (status)
        goto cleanup;
    if (listing) {
        char *text = nw_problems_text(&im);
        status = text ? NW_OK : nw_fail_memory(error, "listing problems");
        if (text)
            *listing = text;
        goto cleanup;
    }
    if (im.n_problems) {
        status = fail_unsupported(&im);
        goto cleanup;
    }
    im.model->source_size = size + im.external;
    *out = im.model;
    im.model = NULL;

cleanup:
    nw_problems_free(&im);
    nw_constants_free(&im); /* what the model's tensors took over stays */
    free(im.entries);
    nw_model_free(im.model);
    return status;
}

static nw_status unpack(Onnx__ModelProto **out, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    if (!nw_scan_message(&onnx__model_proto__descriptor, data, size))
        return nw_fail(error, NW_ERROR_DATA, "%s: is not an ONNX file, or is damaged", name);
    Onnx__ModelProto *proto = onnx__model_proto__unpack(NULL, size, data);
    if (!proto)
        return nw_fail(error, NW_ERROR_DATA, "%s: is not an ONNX file, or is damaged", name);
    if (!proto->graph) {
        onnx__model_proto__free_unpacked(proto, NULL);
        return nw_fail(error, NW_ERROR_DATA, "%s: holds no graph", name);
    }
    *out = proto;
    return NW_OK;
}

static nw_status parse(nw_model **out, char **listing, const uint8_t *data, size_t size, const char *name,
                       nw_error *error)
{
    Onnx__ModelProto *proto = NULL;
    NW_TRY(unpack(&proto, data, size, name, error));
    const nw_status status = import_proto(out, listing, proto, size, name, false, error);
    onnx__model_proto__free_unpacked(proto, NULL);
    return status;
}

static nw_status import_file(nw_model **out, char **listing, const char *path, nw_error *error)
{
    nw_bytes file = {0};
    Onnx__ModelProto *proto = NULL;
    NW_TRY(nw_bytes_read(&file, path, NW_BYTES_LIMIT, error));
    nw_status status = unpack(&proto, file.data, file.size, path, error);
    const size_t size = file.size;
    nw_bytes_free(&file); /* before the import, which needs the memory for the weights */
    if (status)
        return status;
    status = import_proto(out, listing, proto, size, path, true, error);
    onnx__model_proto__free_unpacked(proto, NULL);
    return status;
}

nw_status nw_onnx_parse(nw_model **out, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    return parse(out, NULL, data, size, name, error);
}

nw_status nw_onnx_parse_problems(char **listing, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    return parse(NULL, listing, data, size, name, error);
}

nw_status nw_onnx_import(nw_model **out, const char *path, nw_error *error)
{
    return import_file(out, NULL, path, error);
}

nw_status nw_onnx_problems(char **listing, const char *path, nw_error *error)
{
    return import_file(NULL, listing, path, error);
}
