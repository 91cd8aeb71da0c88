/* info_plan.c: the memory that training and evaluation will take, in words. Nothing is allocated for it. */
#include "base/progress.h"
#include "train/info_parts.h"

typedef struct bytes_text {
    char text[32];
} bytes_text;

static bytes_text in_bytes(size_t n) {
    bytes_text t;
    hm_progress_format_bytes(t.text, sizeof t.text, n);
    return t;
}

static void print_training(FILE *to, const hm_memory *m) {
    fprintf(to, "  training   %s: weights %s, gradients %s, moments %s, averages %s,\n",
            in_bytes(hm_memory_total(m)).text, in_bytes(m->weights).text, in_bytes(m->gradients).text,
            in_bytes(m->moments).text, in_bytes(m->averages).text);
    fprintf(to, "             one batch %s (%s if no memory were used twice), update %s, inputs %s,\n",
            in_bytes(m->batch).text, in_bytes(m->unshared).text, in_bytes(m->update).text, in_bytes(m->inputs).text);
    fprintf(to, "             validation %s, saving %s, libraries %s\n", in_bytes(m->validation).text,
            in_bytes(m->saving).text, in_bytes(m->libraries).text);
}

/* Without the device there is nothing to hold the plan against. */
static void print_verdict(FILE *to, const hm_memory_request *r, const hm_memory *m) {
    char nearest[400];
    hm_room room;
    if (hm_device_room(r->device, &room) != HM_OK) {
        fprintf(to, "             (there is no such device here: %s)\n", hm_error_message());
        return;
    }
    if (hm_memory_total(m) <= room.free) {
        fprintf(to, "             fits: %s has %s free\n", room.name, in_bytes(room.free).text);
        return;
    }
    hm_memory_nearest(r, room.free, nearest, sizeof nearest);
    fprintf(to, "             does not fit: %s has %s free; %s\n", room.name, in_bytes(room.free).text, nearest);
}

static hm_status print_evaluation(FILE *to, const hm_memory_request *r) {
    hm_detector_memory m;
    const hm_detector_options o = {
        .batch = (int32_t)r->step.model.batch, .precision = r->step.precision, .device = r->device};
    HM_TRY(hm_detector_plan(&m, &r->config, &o));
    const size_t libraries = hm_device_libraries(r->device), waiting = m.inputs + libraries;
    fprintf(to, "  evaluation %s: weights %s, activations %s (%s if no memory were used twice),\n",
            in_bytes(m.weights + m.activations + waiting).text, in_bytes(m.weights).text, in_bytes(m.activations).text,
            in_bytes(m.unshared).text);
    fprintf(to, "             inputs on their way and libraries %s\n", in_bytes(waiting).text);
    return HM_OK;
}

static hm_status print_one_size(FILE *to, hm_memory_request r) {
    hm_memory m;
    r.multi_scale = false;
    HM_TRY(hm_memory_plan(&m, &r));
    print_training(to, &m);
    print_verdict(to, &r, &m);
    return HM_OK;
}

static hm_status print_several_sizes(FILE *to, hm_memory_request r) {
    int32_t sides[HM_SCALES_MOST];
    hm_memory m;
    r.multi_scale = true;
    const int n = hm_scales_of_run(&r.config, r.multi_scale, r.expanded_scales, sides);
    HM_TRY(hm_memory_plan(&m, &r));
    fprintf(to, "             with multi_scale, %d x %d to %d x %d, %s: one batch %s, inputs %s\n", (int)sides[0],
            (int)sides[0], (int)sides[n - 1], (int)sides[n - 1], in_bytes(hm_memory_total(&m)).text,
            in_bytes(m.batch).text, in_bytes(m.inputs).text);
    print_verdict(to, &r, &m);
    return HM_OK;
}

hm_status hm_info_print_plan(FILE *to, const hm_memory_request *r) {
    fprintf(to, "memory on the %s for batches of %d in %s, up to %d objects an image:\n",
            r->device == HM_DEVICE_CUDA ? "GPU" : "CPU", (int)r->step.model.batch, hm_precision_name(r->step.precision),
            (int)r->step.targets);
    HM_TRY(print_one_size(to, *r));
    HM_TRY(print_several_sizes(to, *r));
    return print_evaluation(to, r);
}
