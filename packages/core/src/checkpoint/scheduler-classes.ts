/** The samplers of ours that a scheduler of diffusers stands for. */
export type SchedulerSampler =
  | 'ddpm'
  | 'ddim'
  | 'euler'
  | 'euler-ancestral'
  | 'heun'
  | 'dpm++2m'
  | 'dpm++2m-sde'
  | 'unipc';

/** A class of schedulers of diffusers. */
export interface SchedulerClass {
  /** Its name, `_class_name` in files. */
  readonly name: string;
  /** The beta schedules that it can make itself; others it gets as `trained_betas`. */
  readonly schedules: readonly string[];
  /** The keys that it reads besides those of the schedule, with the value of each that a file leaves out. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** Keys of which diffuse supports one value alone. */
  readonly fixed: Readonly<Record<string, unknown>>;
  /** Values of the schedule's keys that are not those of the other classes where a file leaves them out. */
  readonly scheduleDefaults?: Readonly<Record<string, unknown>>;
}

const clipping = { clip_sample: true, clip_sample_range: 1 };
const thresholding = { dynamic_thresholding_ratio: 0.995, sample_max_value: 1, thresholding: false };
const spacing = { prediction_type: 'epsilon', steps_offset: 0, timestep_spacing: 'leading' };
const spacingInSigma = { ...spacing, timestep_spacing: 'linspace' };
/** Ways to space sigma that diffuse does not have. */
const spacedOtherwise = { use_beta_sigmas: false, use_exponential_sigmas: false };
const flow = { use_dynamic_shifting: false, use_flow_sigmas: false };
const schedules = ['linear', 'scaled-linear', 'cosine'];

/** `lambda_min_clipped` is -Infinity by default, which Python writes as no JSON; it reads as null, and left out it is the default. */
const dpmSolver: Omit<SchedulerClass, 'fixed'> = {
  name: 'DPMSolverMultistepScheduler',
  schedules,
  keys: {
    ...spacingInSigma,
    ...thresholding,
    algorithm_type: 'dpmsolver++',
    final_sigmas_type: 'zero',
    rescale_betas_zero_snr: false,
    use_karras_sigmas: false,
    variance_type: null,
  },
};
const dpmSolverFixed = {
  ...spacedOtherwise,
  ...flow,
  euler_at_final: false,
  lambda_min_clipped: null,
  lower_order_final: true,
  solver_order: 2,
  solver_type: 'midpoint',
  use_lu_lambdas: false,
};

/** The classes that load and save, by the sampler that does what they do. */
export const schedulerClasses: Readonly<Record<SchedulerSampler, SchedulerClass>> = {
  ddpm: {
    name: 'DDPMScheduler',
    schedules: [...schedules, 'sigmoid'],
    keys: { ...spacing, ...clipping, ...thresholding, rescale_betas_zero_snr: false, variance_type: 'fixed_small' },
    fixed: {},
  },
  ddim: {
    name: 'DDIMScheduler',
    schedules,
    keys: { ...spacing, ...clipping, ...thresholding, rescale_betas_zero_snr: false, set_alpha_to_one: true },
    fixed: {},
  },
  euler: {
    name: 'EulerDiscreteScheduler',
    schedules,
    keys: { ...spacingInSigma, final_sigmas_type: 'zero', rescale_betas_zero_snr: false, use_karras_sigmas: false },
    fixed: {
      ...spacedOtherwise,
      interpolation_type: 'linear',
      sigma_max: null,
      sigma_min: null,
      timestep_type: 'discrete',
    },
  },
  'euler-ancestral': {
    name: 'EulerAncestralDiscreteScheduler',
    schedules,
    keys: { ...spacingInSigma, rescale_betas_zero_snr: false },
    fixed: {},
  },
  heun: {
    name: 'HeunDiscreteScheduler',
    schedules,
    keys: { ...spacingInSigma, ...clipping, clip_sample: false, use_karras_sigmas: false },
    fixed: spacedOtherwise,
    scheduleDefaults: { beta_end: 0.012, beta_start: 0.00085 },
  },
  'dpm++2m': { ...dpmSolver, fixed: dpmSolverFixed },
  'dpm++2m-sde': {
    ...dpmSolver,
    keys: { ...dpmSolver.keys, algorithm_type: 'sde-dpmsolver++' },
    fixed: dpmSolverFixed,
  },
  unipc: {
    name: 'UniPCMultistepScheduler',
    schedules,
    keys: {
      ...spacingInSigma,
      ...thresholding,
      final_sigmas_type: 'zero',
      rescale_betas_zero_snr: false,
      use_karras_sigmas: false,
    },
    fixed: {
      ...spacedOtherwise,
      ...flow,
      disable_corrector: [],
      lower_order_final: true,
      predict_x0: true,
      shift_terminal: null,
      sigma_max: null,
      sigma_min: null,
      solver_order: 2,
      solver_p: null,
      solver_type: 'bh2',
    },
  },
};

/** Keys that no class reads any more, or reads only together with others that must not be set. */
const idle = ['flow_shift', 'skip_prk_steps', 'tensor_format', 'time_shift_type', 'timestep_values'];

/** Every key that a file may have from a conversion between classes: a class leaves those of the others alone. */
export const knownKeys: ReadonlySet<string> = new Set([
  ...idle,
  ...Object.values(schedulerClasses).flatMap(({ keys, fixed }) => [...Object.keys(keys), ...Object.keys(fixed)]),
]);
