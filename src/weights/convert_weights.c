/* convert_weights.c: hm_convert_weights: a weights file as one of the other kind, number for number, and what it was.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/plain_numbers.h"
#include "base/progress.h"
#include "weights/checkpoint_save.h"
#include "weights/weights.h"
#include "weights/weights_classes.h"

typedef struct conversion {
    const char *in, *out;
    hm_tensor_file *file;
    hm_weights *model;      /* NULL: no model that halfmask knows */
    hm_classes unknown;     /* the classes then */
    hm_safetensor *tensors; /* [n] */
    size_t n;
} conversion;

/* ---- what was read ---- */

/* "12 F32, 3 BF16". */
static void print_types(FILE *to, const conversion *c) {
    size_t of[HM_ST_DTYPES] = {0};
    const char *comma = "";
    for (size_t i = 0; i < c->n; i++)
        of[c->tensors[i].dtype]++;
    for (int t = 0; t < HM_ST_DTYPES; t++)
        if (of[t] > 0) {
            fprintf(to, "%s%zu %s", comma, of[t], hm_st_dtype_name((hm_st_dtype)t));
            comma = ", ";
        }
}

static const hm_classes *classes_of(const conversion *c) {
    return c->model != NULL ? hm_weights_classes(c->model) : &c->unknown;
}

static void print_classes(FILE *to, const hm_classes *classes) {
    if (classes->n == 0) {
        fprintf(to, "classes  not named in the file\n");
        return;
    }
    fprintf(to, "classes  %d:", (int)classes->n);
    for (int32_t i = 0; i < classes->n; i++)
        fprintf(to, "%s %s", i > 0 ? "," : "", classes->names[i]);
    fputc('\n', to);
}

static void print_input(FILE *to, const conversion *c, const char *why_unknown) {
    const char *const layout = hm_tensor_file_layout(c->file);
    uint64_t numbers = 0;
    for (size_t i = 0; i < c->n; i++)
        numbers += c->tensors[i].bytes / hm_st_dtype_size(c->tensors[i].dtype);
    fprintf(to, "read     %s: %s", c->in, hm_tensor_file_form(c->file));
    fprintf(to, layout != NULL ? ", layout %s\n" : "\n", layout);
    fprintf(to, "tensors  %zu with %" PRIu64 " numbers: ", c->n, numbers);
    print_types(to, c);
    if (c->model != NULL) {
        const hm_model_config *const config = hm_weights_config(c->model);
        fprintf(to, "\nmodel    %s, %d x %d pixels, %d classes\n", config->name, config->resolution, config->resolution,
                config->num_classes);
    } else
        fprintf(to, "\nmodel    none that halfmask knows (%s)\n", why_unknown);
    print_classes(to, classes_of(c));
}

/* ---- the work ---- */

/* Tensors that are no model of ours are converted all the same; *why is then the reason; free(). */
static hm_status recognise(conversion *c, char **why) {
    const hm_status st = hm_weights_recognise(&c->model, c->in, c->file);
    if (st != HM_ERR_FORMAT)
        return st;
    const char *const message = hm_error_message();
    const size_t n = strlen(c->in); /* the message begins with the path, which has been said */
    HM_TRY(hm_strdup(why, strncmp(message, c->in, n) == 0 && message[n] == ':' ? message + n + 2 : message));
    return hm_weights_read_classes(&c->unknown, c->in, c->file, INT32_MAX);
}

static hm_status list_tensors(conversion *c) {
    HM_TRY(hm_alloc(&c->tensors, hm_tensor_file_count(c->file), sizeof *c->tensors));
    for (; c->n < hm_tensor_file_count(c->file); c->n++)
        c->tensors[c->n] = *hm_tensor_file_at(c->file, c->n);
    return HM_OK;
}

static hm_status check_paths(const char *in, const char *out) {
    struct stat a, b;
    const char *const dot = strrchr(out, '.');
    if (!hm_checkpoint_is_path(out) && (dot == NULL || strcmp(dot, ".safetensors") != 0))
        HM_FAIL(HM_ERR_ARG, "%s ends in neither .safetensors nor .pth, so it is not clear what to write: rename it",
                out);
    if (stat(in, &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        HM_FAIL(HM_ERR_ARG, "%s would replace the file that is read: choose another path", out);
    return HM_OK;
}

static hm_status convert(conversion *c, bool averages, char **why, FILE *to) {
    HM_TRY(hm_tensor_file_open(&c->file, c->in, averages));
    HM_TRY(list_tensors(c));
    HM_TRY(recognise(c, why));
    print_input(to, c, *why);
    const hm_weights_notes notes = {hm_tensor_file_metadata(c->file, "epoch"),
                                    hm_tensor_file_metadata(c->file, "best_total_source")};
    return hm_weights_write(c->out, c->tensors, c->n, c->model != NULL ? hm_weights_config(c->model) : NULL,
                            classes_of(c), &notes);
}

hm_status hm_convert_weights(const hm_convert_options *options, const char *const *paths, size_t n, FILE *to) {
    HM_PLAIN_NUMBERS;
    char *why = NULL;
    struct stat info;
    if (n != 2)
        HM_FAIL(HM_ERR_ARG, "conversion needs two paths: the file to read and the file to write");
    conversion c = {.in = paths[0], .out = paths[1]};
    HM_TRY(check_paths(c.in, c.out));
    const hm_status st = convert(&c, options->ema, &why, to);
    if (st == HM_OK && stat(c.out, &info) == 0) {
        char bytes[32];
        hm_progress_format_bytes(bytes, sizeof bytes, (uint64_t)info.st_size);
        fprintf(to, "wrote    %s, %s\n", c.out, bytes);
    }
    hm_weights_close(c.model);
    hm_classes_free(&c.unknown);
    free(c.tensors);
    free(why);
    hm_tensor_file_close(c.file);
    return st;
}
