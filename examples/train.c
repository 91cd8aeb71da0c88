/* train.c: trains for some steps and saves: train DATA STEPS OUT.safetensors [NAME=VALUE...]
 * DATA is a folder in COCO layout; settings are those of `halfmask train --help`. */
#include <halfmask.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_line(void *user, const char *line) {
    (void)user;
    printf("  %s\n", line);
}

/* "lr=1e-3" */
static hm_status set(hm_train_options *options, const char *setting) {
    char name[64];
    const char *const equals = strchr(setting, '=');
    snprintf(name, sizeof name, "%.*s", (int)(equals != NULL ? equals - setting : 0), setting);
    return hm_options_set(HM_COMMAND_TRAIN, options, name, equals != NULL ? equals + 1 : "", setting);
}

static hm_status train_steps(hm_trainer *trainer, long steps) {
    for (long i = 0; i < steps && !hm_trainer_done(trainer); i++) {
        const hm_step_report *step;
        const hm_epoch_report *epoch;
        hm_status st = hm_trainer_step(trainer, &step);
        if (st != HM_OK)
            return st;
        printf("step %lld: loss %.4f, gradient %.3f\n", (long long)step->step, step->loss, step->grad_norm);
        if (!step->epoch_done)
            continue;
        st = hm_trainer_end_epoch(trainer, &epoch);
        if (st != HM_OK)
            return st;
        if (epoch->validated)
            printf("epoch %lld: AP %.4f\n", (long long)epoch->epoch + 1, epoch->valid.box_ap);
    }
    return HM_OK;
}

static hm_status train(int argc, char **argv) {
    hm_train_options *options = NULL;
    hm_trainer *trainer = NULL;
    hm_status st = hm_options_new(HM_COMMAND_TRAIN, &options);
    if (st == HM_OK)
        st = hm_options_set(HM_COMMAND_TRAIN, options, "dataset_dir", argv[1], NULL);
    for (int i = 4; i < argc && st == HM_OK; i++)
        st = set(options, argv[i]);
    if (st == HM_OK)
        st = hm_trainer_new(&trainer, options, print_line, NULL);
    if (st == HM_OK)
        st = train_steps(trainer, strtol(argv[2], NULL, 10));
    if (st == HM_OK)
        st = hm_trainer_save(trainer, argv[3]);
    hm_trainer_free(trainer);
    hm_options_free(HM_COMMAND_TRAIN, options);
    return st;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: train DATA STEPS OUT.safetensors [NAME=VALUE...]\n");
        return 2;
    }
    const hm_status st = train(argc, argv);
    if (st != HM_OK)
        fprintf(stderr, "train: %s\n", hm_error_message());
    return st == HM_OK ? 0 : 1;
}
