/* weights.c: reading weights files: which model it is, whether every tensor fits, and the numbers. */
#include "weights/weights.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/rfdetr.h"
#include "ops/resize/resize.h"
#include "weights/file_tensor.h"
#include "weights/tensor_file.h"
#include "weights/weights_classes.h"
#include "weights/weights_graph.h"
#include "weights/weights_number.h"

#define POSITIONS   "backbone.0.encoder.encoder.embeddings.position_embeddings"
#define PATCHES     "backbone.0.encoder.encoder.embeddings.patch_embeddings.projection.weight"
#define QUERIES     "query_feat.weight"
#define REFERENCES  "refpoint_embed.weight"
#define GROUP       "transformer.enc_out" /* and "put.<g>.", "put_norm.<g>.", "_class_embed.<g>.", "_bbox_embed.<g>." */
#define CLASS_HEAD  "class_embed."
#define ENC_HEAD    "transformer.enc_out_class_embed."
#define KNOWN_EXTRA "_kp_active_mask" /* an empty buffer of upstream's */

enum { MAX_RESOLUTION = 8192, MAX_CLASSES = 1 << 20, MAX_QUERIES = 1 << 20 };

struct hm_weights {
    char *path;
    const hm_tensor_file *file;
    hm_tensor_file *own; /* the same when hm_weights_open opened it */
    hm_model_config config;
    hm_classes classes;
};

hm_status hm_weights_graph(hm_graph **out, const hm_model_config *c) {
    hm_model *m = NULL;
    HM_TRY(hm_graph_create(out));
    const hm_model_options opt = {.batch = 1, .height = c->resolution, .width = c->resolution, .training = true};
    const hm_status st = hm_model_build(&m, *out, c, &opt);
    hm_model_free(m);
    return st;
}

hm_status hm_weights_store(hm_store **out, const hm_model_config *c) {
    hm_graph *g = NULL;
    hm_store *store = NULL;
    hm_status st;
    HM_TRY_TO(st, done, hm_weights_graph(&g, c));
    HM_TRY_TO(st, done, hm_store_create(&store));
    HM_TRY_TO(st, done, hm_store_add(store, g));
    *out = store;
    store = NULL;
done:
    hm_store_free(store);
    hm_graph_free(g);
    return st;
}

/* ---- shapes ---- */

/* The tensor's shape as the graph writes it; ranks that the graph does not know end in "...". */
static const char *file_shape(const hm_safetensor *t, char buf[static 96]) {
    hm_shape s = {.rank = t->rank < HM_MAX_RANK ? t->rank : HM_MAX_RANK};
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = t->shape[i];
    return hm_shape_text(s, buf);
}

static bool is_class_head(const char *name) {
    return strncmp(name, CLASS_HEAD, strlen(CLASS_HEAD)) == 0 || strncmp(name, ENC_HEAD, strlen(ENC_HEAD)) == 0;
}

/* ---- which model it is ---- */

static hm_status find_tensor(const hm_safetensor **out, const hm_weights *w, const char *name, int rank) {
    char shape[96];
    *out = hm_tensor_file_find(w->file, name);
    if (*out == NULL)
        HM_FAIL(HM_ERR_FORMAT, "%s: has no tensor %s, so it does not hold the weights of an RF-DETR model", w->path,
                name);
    if ((*out)->rank != rank)
        HM_FAIL(HM_ERR_FORMAT, "%s: tensor %s has shape %s, but must have %d dimensions", w->path, name,
                file_shape(*out, shape), rank);
    return HM_OK;
}

static bool has_decoder_layer(const hm_weights *w, int i) {
    char name[96];
    snprintf(name, sizeof name, "transformer.decoder.layers.%d.linear1.weight", i);
    return hm_tensor_file_find(w->file, name) != NULL;
}

/* The tensor that only models with this kind of mask head have; NULL for detection. */
static const char *mask_head_of(const hm_model_config *c) {
    return c->mask_grid > 0 ? "mask_head.layers.0.weight" : c->segmentation ? "segmentation_head.bias" : NULL;
}

static bool has_mask_head(const hm_weights *w, const hm_model_config *c) {
    static const char *const heads[] = {"segmentation_head.bias", "mask_head.layers.0.weight"};
    const char *const own = mask_head_of(c);
    bool same = true;
    for (int i = 0; i < 2; i++)
        same &= (hm_tensor_file_find(w->file, heads[i]) != NULL) == (own != NULL && strcmp(own, heads[i]) == 0);
    return same;
}

/* Whether the file's tensors can only be this variant's. */
static bool looks_like(const hm_weights *w, const hm_model_config *c) {
    const hm_safetensor *const positions = hm_tensor_file_find(w->file, POSITIONS);
    const hm_safetensor *const patches = hm_tensor_file_find(w->file, PATCHES);
    const hm_safetensor *const queries = hm_tensor_file_find(w->file, QUERIES);
    const int64_t grid = c->positional_encoding_size, C = c->encoder_hidden, p = c->patch_size;
    if (positions == NULL || patches == NULL || queries == NULL)
        return false;
    return hm_file_tensor_is(positions, HM_SHAPE(1, 1 + grid * grid, C)) &&
           hm_file_tensor_is(patches, HM_SHAPE(C, 3, p, p)) &&
           hm_file_tensor_is(queries, HM_SHAPE((int64_t)c->num_queries * c->group_detr, c->hidden_dim)) &&
           has_decoder_layer(w, c->dec_layers - 1) && !has_decoder_layer(w, c->dec_layers) && has_mask_head(w, c);
}

static hm_status find_variant(hm_weights *w) {
    const char *const name = hm_tensor_file_metadata(w->file, "model");
    const hm_safetensor *t;
    if (name != NULL) {
        const hm_status st = hm_model_config_named(name, &w->config);
        return st == HM_OK ? HM_OK : hm_fail_in(HM_ERR_FORMAT, "%s", w->path);
    }
    HM_TRY(find_tensor(&t, w, POSITIONS, 3));
    HM_TRY(find_tensor(&t, w, QUERIES, 2));
    for (int i = 0; hm_model_variant(i) != NULL; i++) {
        HM_TRY(hm_model_config_named(hm_model_variant(i), &w->config));
        if (looks_like(w, &w->config))
            return HM_OK;
    }
    HM_FAIL(HM_ERR_FORMAT,
            "%s: its metadata do not say which model it holds, and its tensors fit none of those that halfmask knows; "
            "\"halfmask info\" lists them",
            w->path);
}

/* Decimal number lo..hi of the metadata; absent: *out stays. */
static hm_status read_number(const hm_weights *w, const char *key, int lo, int hi, int *out) {
    const char *const text = hm_tensor_file_metadata(w->file, key);
    char *end;
    if (text == NULL)
        return HM_OK;
    errno = 0;
    const long x = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || x < lo || x > hi)
        HM_FAIL(HM_ERR_FORMAT, "%s: the metadata say %s = \"%.40s\", which must be a number from %d to %d", w->path,
                key, text, lo, hi);
    *out = (int)x;
    return HM_OK;
}

/* Each group has a layer of its own for proposals; all have as many rows of queries. */
static void find_queries(hm_weights *w) {
    const hm_safetensor *const queries = hm_tensor_file_find(w->file, QUERIES);
    char name[64];
    int groups = -1;
    do
        snprintf(name, sizeof name, "transformer.enc_output.%d.weight", ++groups);
    while (hm_tensor_file_find(w->file, name) != NULL);
    if (groups == 0 || queries == NULL || queries->rank != 2 || queries->shape[0] < groups ||
        queries->shape[0] % groups != 0 || queries->shape[0] > MAX_QUERIES)
        return; /* what is wrong is told when tensors are compared */
    w->config.group_detr = groups;
    w->config.num_queries = (int)queries->shape[0] / groups;
}

/* Number of classes, queries and position grid from the tensors, resolution from the metadata. */
static hm_status find_sizes(hm_weights *w) {
    const hm_safetensor *head, *positions;
    hm_model_config *const c = &w->config;
    char shape[96];
    HM_TRY(find_tensor(&head, w, CLASS_HEAD "weight", 2));
    if (head->shape[0] < 2 || head->shape[0] > MAX_CLASSES || head->shape[1] != c->hidden_dim)
        HM_FAIL(HM_ERR_FORMAT, "%s: tensor " CLASS_HEAD "weight has shape %s instead of [classes + 1, %d]", w->path,
                file_shape(head, shape), c->hidden_dim);
    c->num_classes = (int)head->shape[0] - 1;
    int stated = c->num_classes;
    HM_TRY(read_number(w, "num_classes", 1, MAX_CLASSES, &stated));
    if (stated != c->num_classes)
        HM_FAIL(HM_ERR_FORMAT, "%s: the metadata say %d classes, but " CLASS_HEAD "weight has rows for %d", w->path,
                stated, c->num_classes);
    HM_TRY(find_tensor(&positions, w, POSITIONS, 3));
    const int64_t cells = positions->shape[1] - 1, grid = (int64_t)sqrt((double)(cells > 0 ? cells : 0));
    if (grid < 1 || grid > MAX_RESOLUTION || grid * grid != cells)
        HM_FAIL(HM_ERR_FORMAT, "%s: tensor " POSITIONS " has shape %s, which is no square grid", w->path,
                file_shape(positions, shape));
    c->positional_encoding_size = (int)grid;
    find_queries(w);
    HM_TRY(read_number(w, "resolution", 1, MAX_RESOLUTION, &c->resolution));
    const hm_status st = hm_model_check_size(c, c->resolution, c->resolution);
    return st == HM_OK ? HM_OK : hm_fail_in(HM_ERR_FORMAT, "%s", w->path);
}

/* ---- whether every tensor fits ---- */

static hm_status check_tensor(const hm_weights *w, const hm_tensor *t) {
    char a[96], b[96];
    const hm_safetensor *const s = hm_tensor_file_find(w->file, t->name);
    if (s == NULL)
        HM_FAIL(HM_ERR_FORMAT, "%s: has no tensor %s, which %s needs", w->path, t->name, w->config.name);
    if (!hm_file_tensor_is(s, t->shape))
        HM_FAIL(HM_ERR_FORMAT, "%s: tensor %s has shape %s, but %s needs %s", w->path, t->name, file_shape(s, a),
                w->config.name, hm_shape_text(t->shape, b));
    if (!hm_weights_is_float(s->dtype))
        HM_FAIL(HM_ERR_FORMAT, "%s: tensor %s has type %s, but weights are floating-point numbers", w->path, t->name,
                hm_st_dtype_name(s->dtype));
    return HM_OK;
}

static bool is_parameter(const hm_tensor *t) {
    return t->storage == HM_PARAM && t->base == NULL;
}

static bool graph_has(const hm_graph *g, const char *name) {
    for (size_t i = 0; i < g->n_tensors; i++)
        if (is_parameter(g->tensors[i]) && strcmp(g->tensors[i]->name, name) == 0)
            return true;
    return false;
}

static hm_status check_tensors(const hm_weights *w, const hm_graph *g) {
    size_t known = 0;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (is_parameter(g->tensors[i])) {
            HM_TRY(check_tensor(w, g->tensors[i]));
            known++;
        }
    if (known == hm_tensor_file_count(w->file))
        return HM_OK;
    for (size_t i = 0; i < hm_tensor_file_count(w->file); i++) {
        const char *const name = hm_tensor_file_at(w->file, i)->name;
        if (strcmp(name, KNOWN_EXTRA) != 0 && !graph_has(g, name))
            HM_FAIL(HM_ERR_FORMAT, "%s: has a tensor %s, which %s does not know", w->path, name, w->config.name);
    }
    return HM_OK;
}

hm_status hm_weights_recognise(hm_weights **out, const char *path, const hm_tensor_file *file) {
    hm_weights *w = NULL;
    hm_graph *g = NULL;
    hm_status st;
    *out = NULL;
    HM_TRY(hm_alloc(&w, 1, sizeof *w));
    HM_TRY_TO(st, done, hm_strdup(&w->path, path));
    w->file = file;
    HM_TRY_TO(st, done, find_variant(w));
    HM_TRY_TO(st, done, find_sizes(w));
    HM_TRY_TO(st, done, hm_weights_read_classes(&w->classes, path, file, w->config.num_classes + 1));
    HM_TRY_TO(st, done, hm_weights_graph(&g, &w->config));
    HM_TRY_TO(st, done, check_tensors(w, g));
    *out = w;
done:
    hm_graph_free(g);
    if (st != HM_OK)
        hm_weights_close(w);
    return st;
}

hm_status hm_weights_open(hm_weights **out, const char *path) {
    hm_tensor_file *file = NULL;
    *out = NULL;
    HM_TRY(hm_tensor_file_open(&file, path, false));
    const hm_status st = hm_weights_recognise(out, path, file);
    if (st == HM_OK)
        (*out)->own = file;
    else
        hm_tensor_file_close(file);
    return st;
}

void hm_weights_close(hm_weights *w) {
    if (w == NULL)
        return;
    hm_classes_free(&w->classes);
    hm_tensor_file_close(w->own);
    free(w->path);
    free(w);
}

const hm_model_config *hm_weights_config(const hm_weights *w) {
    return &w->config;
}

const hm_classes *hm_weights_classes(const hm_weights *w) {
    return &w->classes;
}

const char *hm_weights_metadata(const hm_weights *w, const char *key) {
    return hm_tensor_file_metadata(w->file, key);
}

/* ---- the numbers ---- */

/* Element i of dst = element i % (elements of the file's tensor). */
static hm_status copy_numbers(const hm_weights *w, const hm_safetensor *s, float *dst, size_t n) {
    const size_t period = s->bytes / hm_st_dtype_size(s->dtype);
    for (size_t i = 0; i < n; i++) {
        dst[i] = hm_weights_number(s, i % period);
        if (!isfinite(dst[i]))
            HM_FAIL(HM_ERR_FORMAT,
                    "%s: tensor %s holds %g at element %zu: the file is damaged, or its training has diverged", w->path,
                    s->name, (double)dst[i], i % period);
    }
    return HM_OK;
}

/* Whether the shapes differ in the number of rows only, with rows to copy. */
static bool same_rows(const hm_safetensor *s, hm_shape shape) {
    if (s->rank != shape.rank || s->rank < 1 || s->shape[0] < 1)
        return false;
    for (int i = 1; i < s->rank; i++)
        if (s->shape[i] != shape.dim[i])
            return false;
    return true;
}

/* The grid part of the position embedding, resampled as upstream does (models/weights.py,
 * interpolate_position_embeddings); the class token's row is taken as it is. dst [1 + P*P, C]. */
static hm_status copy_positions(const hm_weights *w, const hm_safetensor *s, float *dst, hm_shape shape) {
    const int64_t C = shape.dim[2], from = w->config.positional_encoding_size;
    const int64_t to = (int64_t)(sqrt((double)(shape.dim[1] - 1)) + 0.5);
    float *table = NULL;
    hm_graph *g = NULL;
    hm_exec *e = NULL;
    hm_status st = hm_graph_create(&g);
    if (st != HM_OK)
        return st;
    const hm_exec_options o = hm_exec_defaults();
    hm_tensor *const grid = hm_graph_input(g, "positions", HM_F32, HM_SHAPE(1, from, from, C));
    hm_tensor *const resized = hm_graph_output(g, hm_resize(g, grid, to, to, HM_RESIZE_BICUBIC_AA), "resized");
    HM_TRY_TO(st, done, hm_graph_status(g));
    HM_TRY_TO(st, done, hm_exec_create(&e, g, NULL, &o));
    const size_t n = (size_t)(from * from * C), row = (size_t)C;
    HM_TRY_TO(st, done, hm_alloc(&table, n + row, sizeof *table));
    HM_TRY_TO(st, done, copy_numbers(w, s, table, n + row));
    memcpy(hm_exec_data(e, grid), table + row, n * sizeof *table);
    HM_TRY_TO(st, done, hm_exec_run(e, 0, 0));
    memcpy(dst, table, row * sizeof *table);
    memcpy(dst + row, hm_exec_data(e, resized), (size_t)(to * to * C) * sizeof *table);
done:
    hm_exec_free(e);
    hm_graph_free(g);
    free(table);
    return st;
}

/* Whether s is a position embedding of another grid than `shape`. */
static bool other_grid(const hm_safetensor *s, const char *name, hm_shape shape) {
    return strcmp(name, POSITIONS) == 0 && s->rank == 3 && shape.rank == 3 && s->shape[2] == shape.dim[2] &&
           s->shape[1] != shape.dim[1];
}

/* ---- tensors of other sizes ---- */

static bool other_queries(const hm_weights *w, const hm_model_config *c) {
    return w->config.num_queries != c->num_queries || w->config.group_detr != c->group_detr;
}

/* Whether s is a table of queries with as many columns. */
static bool is_queries(const hm_safetensor *s, const char *name, hm_shape shape) {
    return (strcmp(name, QUERIES) == 0 || strcmp(name, REFERENCES) == 0) && same_rows(s, shape);
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Of each group that both have, the queries that both have (models/weights.py, _slice_query_param_per_group). */
static hm_status copy_queries(const hm_weights *w, const hm_safetensor *s, float *dst, hm_shape shape,
                              const hm_model_config *c) {
    const hm_model_config *const from = &w->config;
    const size_t row = (size_t)shape.dim[1], rows = (size_t)from->group_detr * (size_t)from->num_queries;
    float *table = NULL;
    HM_TRY(hm_alloc(&table, rows * row, sizeof *table));
    const hm_status st = copy_numbers(w, s, table, rows * row);
    const int groups = least(from->group_detr, c->group_detr), queries = least(from->num_queries, c->num_queries);
    for (int g = 0; g < groups && st == HM_OK; g++)
        memcpy(dst + (size_t)(g * c->num_queries) * row, table + (size_t)(g * from->num_queries) * row,
               (size_t)queries * row * sizeof *dst);
    free(table);
    return st;
}

/* Whether the tensor is one of a group that the file has not. */
static bool of_new_group(const hm_weights *w, const char *name) {
    const char *const dot = strncmp(name, GROUP, strlen(GROUP)) == 0 ? strchr(name + strlen(GROUP), '.') : NULL;
    return dot != NULL && isdigit((unsigned char)dot[1]) && atoi(dot + 1) >= w->config.group_detr;
}

/* Takes a tensor whose shape in the file is another; *done = false when it cannot be made to fit. */
static hm_status adapt_tensor(const hm_weights *w, const hm_safetensor *s, const char *name, float *dst, hm_shape shape,
                              const hm_model_config *c, bool *done) {
    *done = true;
    if (other_grid(s, name, shape))
        return copy_positions(w, s, dst, shape);
    if (is_queries(s, name, shape))
        return copy_queries(w, s, dst, shape, c);
    *done = is_class_head(name) && same_rows(s, shape);
    return *done ? copy_numbers(w, s, dst, (size_t)hm_shape_count(shape)) : HM_OK;
}

/* What became of the model's tensors: taken as they are, made to fit, left as the store had them. */
typedef struct loaded {
    int kept, adapted, left;
} loaded;

/* `c` not NULL: the model is that one, and tensors of other sizes are made to fit. */
static hm_status load_tensor(const hm_weights *w, const char *name, float *dst, hm_shape shape,
                             const hm_model_config *c, loaded *n) {
    char a[96], b[96];
    const hm_safetensor *const s = hm_tensor_file_find(w->file, name);
    if (s == NULL && c != NULL && of_new_group(w, name)) {
        n->left++;
        return HM_OK;
    }
    if (s == NULL)
        HM_FAIL(HM_ERR_FORMAT, "%s: has no tensor %s, which the model needs", w->path, name);
    bool fits = hm_file_tensor_is(s, shape) && !(c != NULL && other_queries(w, c) && is_queries(s, name, shape));
    if (fits) {
        n->kept++;
        return copy_numbers(w, s, dst, (size_t)hm_shape_count(shape));
    }
    if (c != NULL)
        HM_TRY(adapt_tensor(w, s, name, dst, shape, c, &fits));
    if (!fits)
        HM_FAIL(HM_ERR_FORMAT, "%s: tensor %s has shape %s, but the model needs %s", w->path, name, file_shape(s, a),
                hm_shape_text(shape, b));
    n->adapted++;
    return HM_OK;
}

static hm_status load(const hm_weights *w, hm_store *store, const hm_model_config *c, loaded *n) {
    for (size_t i = 0; i < hm_store_count(store); i++) {
        const char *name;
        hm_shape shape;
        hm_storage kind;
        float *const dst = hm_store_at(store, i, &name, &shape, &kind);
        if (kind == HM_PARAM)
            HM_TRY(load_tensor(w, name, dst, shape, c, n));
    }
    return HM_OK;
}

hm_status hm_weights_load(const hm_weights *w, hm_store *store) {
    loaded n = {0};
    return load(w, store, NULL, &n);
}

/* ---- in words ---- */

/* "; class heads re-made for 3 classes from 90: the first rows kept" and so on, for what differs. */
static void describe_changes(FILE *to, const hm_model_config *from, const hm_model_config *c) {
    if (from->num_classes != c->num_classes)
        fprintf(to, "; class heads re-made for %d classes from %d: %s", c->num_classes, from->num_classes,
                c->num_classes < from->num_classes ? "the first rows kept" : "rows repeated from the first on");
    if (from->positional_encoding_size != c->positional_encoding_size)
        fprintf(to, "; position embeddings interpolated from %d x %d to %d x %d", from->positional_encoding_size,
                from->positional_encoding_size, c->positional_encoding_size, c->positional_encoding_size);
    if (from->num_queries != c->num_queries || from->group_detr != c->group_detr)
        fprintf(to, "; queries re-made for %d groups of %d from %d of %d: the first %d of the first %d groups kept%s",
                c->group_detr, c->num_queries, from->group_detr, from->num_queries,
                least(from->num_queries, c->num_queries), least(from->group_detr, c->group_detr),
                c->num_queries > from->num_queries || c->group_detr > from->group_detr ? ", the others drawn anew"
                                                                                       : "");
}

static void describe(char *words, const hm_weights *w, const hm_model_config *c, const loaded *n) {
    FILE *const to = fmemopen(words, HM_WEIGHTS_WORDS, "w");
    if (to == NULL)
        return;
    fprintf(to, "starting from %.512s: %d of %d tensors kept as they are", w->path, n->kept,
            n->kept + n->adapted + n->left);
    describe_changes(to, &w->config, c);
    fclose(to);
}

hm_status hm_weights_pretrain(const char *path, const hm_model_config *c, hm_store *store, char *words) {
    hm_weights *w = NULL;
    loaded n = {0};
    HM_TRY(hm_weights_open(&w, path));
    hm_status st = HM_OK;
    if (strcmp(w->config.name, c->name) != 0)
        st = hm_fail(HM_ERR_ARG, "%s holds a %s, but %s is to be trained: choose the model %s or other weights", path,
                     w->config.name, c->name, w->config.name);
    else
        st = load(w, store, c, &n);
    if (st == HM_OK && words != NULL)
        describe(words, w, c, &n);
    hm_weights_close(w);
    return st;
}
